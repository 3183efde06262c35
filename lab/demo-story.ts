import { ETCD_ENDPOINT } from './address.ts'
import type { Container } from './container.ts'
import { showMap } from './demo-map.ts'
import { showIsolation, showReachability, type Placed } from './demo-reach.ts'
import type { Notes, Steps } from './demo-steps.ts'
import { showTransfer } from './demo-transfer.ts'
import type { DockerHost } from './docker-host.ts'
import { IMAGE } from './image.ts'
import { Lab } from './lab.ts'

const HOSTS = ['96', '98', '99'] as const

const POOLED =
  'docker network create -d overlay-ts --ipam-driver overlay-ts --ipam-opt overlay=web web'
const PLAIN = 'docker network create -d overlay-ts app'

export interface StoryOptions {
  /** Of the lab that is made. */
  readonly name: string
  /** The lab outlives this process. */
  readonly standing: boolean
}

/** The product's main job, from bare hosts to containers that talk; every step checks what it claims. */
export async function tellStory(steps: Steps, { name, standing }: StoryOptions): Promise<Lab> {
  const lab = await steps.run(
    'data centre: etcd and three Docker hosts, each with its own dockerd',
    (notes) => Lab.create({ name, standing, hosts: HOSTS, onStep: (done) => built(done, notes) }),
  )
  const hosts = HOSTS.map((host) => lab.host(host))

  await steps.run('overlay-ts runs on each host', async (notes) => {
    notes.command('96, 98, 99', `ETCD_ENDPOINTS=${ETCD_ENDPOINT} npm start`)
    await Promise.all(hosts.map((host) => host.startPlugin()))
  })

  const web = await steps.run(
    'network "web", one pool of addresses over all hosts, a container on each',
    async (notes) => {
      notes.command('96, 98, 99', POOLED)
      await Promise.all(hosts.map((host) => typed(host, POOLED)))
      return Promise.all(hosts.map((host) => startContainer(host, 'web', notes)))
    },
  )
  await steps.run('containers of web on different hosts reach each other', (notes) =>
    showReachability(web, notes),
  )

  const app = await steps.run(
    'network "app", the plain form with Docker\'s own addresses, host after host',
    async (notes) => {
      notes.command('96, 98, 99', PLAIN)
      const placed: Placed[] = []
      for (const host of hosts) {
        notes.at(`host ${host.name}`)
        await typed(host, PLAIN)
        placed.push(await startContainer(host, 'app', notes))
      }
      return placed
    },
  )
  await steps.run('containers of app on different hosts reach each other', (notes) =>
    showReachability(app, notes),
  )
  await steps.run('web and app do not reach each other', (notes) => showIsolation(web, app, notes))
  await steps.run(
    "TCP from host to host, through the forwarder in the plugin's own process",
    (notes) => showTransfer(web[0]!, web[1]!, notes),
  )
  await steps.run('the subnet-to-host map in etcd', (notes) =>
    showMap(lab.etcd, HOSTS.length * 2, notes),
  )
  await steps.run('what overlay-ts made on host 96, and what a container sees of it', (notes) =>
    showHost(hosts[0]!, notes),
  )
  return lab
}

function built(what: string, notes: Notes): void {
  notes.lines(what)
  notes.at(what)
}

/** Types a line of `docker …` on a host. */
async function typed(host: DockerHost, line: string): Promise<string> {
  return host.docker(...line.split(' ').slice(1))
}

async function startContainer(host: DockerHost, overlay: string, notes: Notes): Promise<Placed> {
  const name = `${overlay}-${host.name}`
  const line = `docker run -d --name ${name} --network ${overlay} ${IMAGE}`
  notes.command(host.name, line)
  await typed(host, line)
  const container: Container = host.container(name)
  return { container, overlay, ip: await container.ip(overlay) }
}

async function showHost(host: DockerHost, notes: Notes): Promise<void> {
  for (const line of [
    'ip -brief link | grep ov-',
    'ip route | grep -e ov- -e blackhole',
    'docker exec app-96 ip route',
  ]) {
    notes.command(host.name, line)
    const said = line.startsWith('docker ')
      ? await typed(host, line)
      : await host.exec('sh', '-c', line)
    notes.lines(...said.split('\n'))
  }
}
