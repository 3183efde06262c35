import assert from 'node:assert/strict'
import { cpSync } from 'node:fs'
import { after, before, describe, test } from 'node:test'
import type { Container } from '../../lab/container.ts'
import { hostIp } from '../../lab/address.ts'
import type { DockerHost } from '../../lab/docker-host.ts'
import { Lab } from '../../lab/lab.ts'
import { explainFailure } from '../support/lab.ts'
import { eventually, waitFor } from '../support/wait.ts'
import { assertReaches } from './support/answers.ts'
import { createForm } from './support/network-forms.ts'

const NETWORKS = ['web', 'app'] as const

describe('a host is who it is by its state directory', { concurrency: false }, () => {
  let lab: Lab
  let near: DockerHost
  let far: DockerHost
  let a: Container
  let b: Container
  const inLab = (sentence: string, body: () => Promise<void>): void => {
    test(sentence, () => explainFailure(lab, body))
  }

  before(async () => {
    lab = await Lab.create({ hosts: ['96', '98'], plugin: 'before docker' })
    ;[near, far] = [lab.host('96'), lab.host('98')]
    for (const host of [near, far]) for (const form of NETWORKS) await createForm(host, form)
    a = await near.run('near', { network: NETWORKS })
    b = await far.run('far', { network: NETWORKS })
    await bothReach()
  })
  after(async () => {
    await lab.remove()
  })

  inLab('and keeps its subnets when its address changes while it runs', async () => {
    const subnets = await subnetsAt(hostIp('96'))
    assert.equal(subnets.length, NETWORKS.length)
    await move(near, hostIp('96'), hostIp('106'))
    await eventually(async () => assert.deepEqual(await subnetsAt(hostIp('106')), subnets), {
      what: 'the subnets to be published under the new address',
      timeout: 60_000,
      every: 250,
    })
    assert.deepEqual(await subnetsAt(hostIp('96')), [])
    await bothReach()
  })

  inLab('and keeps them when it comes back elsewhere after a restart', async () => {
    const subnets = await subnetsAt(hostIp('106'))
    await near.killPlugin()
    await move(near, hostIp('106'), hostIp('96'))
    await near.startPlugin()
    await eventually(async () => assert.deepEqual(await subnetsAt(hostIp('96')), subnets), {
      what: 'the subnets to be published under the old address',
      timeout: 60_000,
      every: 250,
    })
    await bothReach()
  })

  inLab('and its copy on another machine is refused by name', async () => {
    const twin = await lab.addHost('99', { docker: false })
    // Not what is being written: it has another name by the time it is copied.
    const filter = (path: string): boolean => !path.endsWith('.tmp')
    cpSync(near.stateDir, twin.stateDir, { recursive: true, filter })
    const published = await subnetsAt(hostIp('96'))
    await twin.startPlugin()
    await waitFor(() => !twin.plugin.running, { what: 'the copy to give up', timeout: 60_000 })
    assert.match(
      twin.pluginLog(),
      /this machine was cloned from host-96, which runs with the same identity: remove STATE_DIR\/host-id/,
    )
    assert.equal(near.plugin.running, true)
    assert.deepEqual(await subnetsAt(hostIp('96')), published)
    await bothReach()
  })

  async function bothReach(): Promise<void> {
    for (const name of NETWORKS) {
      await assertReaches(a, [await b.ip(name)], await a.ip(name))
      await assertReaches(b, [await a.ip(name)], await b.ip(name))
    }
  }

  /** The subnets leased to hosts with that address. */
  async function subnetsAt(publicIp: string): Promise<string[]> {
    const text = await lab.etcdText('/overlay-ts/subnets/')
    return text
      .split('\n')
      .filter((line) => line.includes(`"PublicIP":"${publicIp}"`))
      .map((line) => line.split(' ')[0]!)
  }
})

/** Gives the machine another address, as a DHCP server might. */
async function move(host: DockerHost, from: string, to: string): Promise<void> {
  const script = `ip address add ${to}/24 dev eth0
    ip address del ${from}/24 dev eth0
    ip address show dev eth0 | grep -q ${to} || ip address add ${to}/24 dev eth0
    ip route replace default via 172.18.10.1 dev eth0`
  await host.exec('sh', '-ec', script)
}
