import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { argv } from '../../lab/argv.ts'
import type { Container } from '../../lab/container.ts'
import type { DockerHost } from '../../lab/docker-host.ts'
import { Lab } from '../../lab/lab.ts'
import { explainFailure } from '../support/lab.ts'
import { eventually } from '../support/wait.ts'
import { assertReaches, assertSilent } from './support/answers.ts'
import { inside } from './support/inside.ts'
import { NumberedStream } from './support/numbered-stream.ts'
import { createNetwork, createRepeating } from './support/network-forms.ts'
import { subnetOf } from './support/subnet-of.ts'

const WEB = argv`--ipam-driver overlay-ts --ipam-opt overlay=web`

describe('a fourth host', () => {
  let lab: Lab
  let fourth: DockerHost
  let late: Container
  /** In app, one on each of the first hosts. */
  let running: Container[]
  /** Between the first two of them, over one connection throughout. */
  let stream: NumberedStream
  let ips: string[]
  let startsBefore: string
  let routesBefore: string[]
  const inLab = (sentence: string, body: () => Promise<void>): void => {
    test(sentence, () => explainFailure(lab, body))
  }

  before(async () => {
    lab = await Lab.create({ hosts: ['96', '98', '99'], plugin: 'before docker' })
    await explainFailure(lab, async () => {
      for (const host of lab.hosts) {
        await createRepeating(host, 'app')
        await createNetwork(host, 'web', WEB)
      }
      running = await Promise.all(lab.hosts.map((host) => host.run('running', { network: 'app' })))
      await Promise.all(lab.hosts.map((host) => host.run('on-web', { network: 'web' })))
      ips = await Promise.all(running.map((container) => container.ip()))
      await Promise.all(
        running.map((container, at) => assertReaches(container, ips.toSpliced(at, 1), ips[at]!)),
      )
      const [from, to] = running as [Container, Container]
      stream = await NumberedStream.start('tcp', from, to, { ip: ips[1]!, port: 9000 })
      startsBefore = await startedAt()
      routesBefore = await Promise.all(running.map(routesOf))
    })
  })
  after(async () => {
    await stream[Symbol.asyncDispose]()
    await lab.remove()
  })

  async function startedAt(): Promise<string> {
    const started = await Promise.all(
      running.map(({ host, name }) =>
        host.docker('inspect', '-f', '{{.State.StartedAt}} {{.State.Pid}} {{.RestartCount}}', name),
      ),
    )
    return started.join('\n')
  }

  inLab('joins a plain network, and containers that run already reach it', async () => {
    fourth = await lab.addHost('97')
    await fourth.startPlugin()
    await createRepeating(fourth, 'app')
    late = await fourth.run('late', { network: 'app' })
    const ip = await late.ip()
    await assertReaches(late, ips, ip)
    await Promise.all(running.map((container, at) => assertReaches(container, [ip], ips[at]!)))
    const { leased } = await subnetOf(lab, fourth, 'app')
    for (const routes of await Promise.all(running.map(routesOf))) {
      assert.match(routes, new RegExp(`^${leased.replaceAll('.', '\\.')} via `, 'm'))
    }
    await stream.flows()
  })

  inLab('joins an overlay with a pool, where nothing changes in running containers', async () => {
    const members = lab.hosts.slice(0, 3).map((host) => host.container('on-web'))
    const routes = await Promise.all(members.map(routesOf))
    await createNetwork(fourth, 'web', WEB)
    const newcomer = await fourth.run('on-web', { network: 'web' })
    const ip = await newcomer.ip()
    await Promise.all(members.map(async (member) => assertReaches(member, [ip], await member.ip())))
    assert.deepEqual(await Promise.all(members.map(routesOf)), routes)
    await newcomer.remove()
    await fourth.docker('network', 'rm', 'web')
    await Promise.all(members.map((member) => assertSilent(member, [ip])))
  })

  inLab('leaves, and running containers lose the route to it and nothing else', async () => {
    const { leased } = await subnetOf(lab, fourth, 'app')
    const ip = await late.ip()
    await late.remove()
    await fourth.docker('network', 'rm', 'app')
    await eventually(
      async () => {
        assert.deepEqual(await Promise.all(running.map(routesOf)), routesBefore)
      },
      { what: `the routes to ${leased} to go`, timeout: 30_000 },
    )
    for (const host of lab.hosts) {
      const routes = await host.exec('ip', 'route', 'show', 'root', leased)
      assert.equal(routes, '', `what ${host.name} knows of ${leased}`)
    }
    await Promise.all(running.map((container) => assertSilent(container, [ip])))
    // Every number over the one connection, in order, to the end.
    const { sent, received } = await stream.finish()
    assert.equal(received, sent)
    assert.equal(await startedAt(), startsBefore)
  })
})

const routesOf = async (container: Container): Promise<string> => {
  const routes = await inside(container, ['ip route show'])
  return routes
    .split('\n')
    .map((line) => line.trim())
    .toSorted()
    .join('\n')
}
