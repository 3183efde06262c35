import assert from 'node:assert/strict'
import { after, before, describe, test, type TestContext } from 'node:test'
import type { Container } from '../../lab/container.ts'
import type { DockerHost } from '../../lab/docker-host.ts'
import { Lab } from '../../lab/lab.ts'
import { explainFailure } from '../support/lab.ts'
import { eventually } from '../support/wait.ts'
import { assertReaches } from './support/answers.ts'
import { assertBothWays } from './support/both-ways.ts'
import { addressesInUse, agreedEndpoints } from './support/endpoint-records.ts'
import { createForm, createNetwork } from './support/network-forms.ts'
import { isMended } from './support/is-mended.ts'
import { untilBridgesPublished } from './support/until-bridges-published.ts'
import { untilCables } from './support/until-cables.ts'
import { untilRunning } from './support/until-running.ts'

/** With an address of the container's own choice: what Docker's and what our address management gives out. */
const PINNED = { shared: '.9', own: '.77.9' } as const

/** What each container on the host that boots is on. */
const CONTAINERS = {
  always: ['web', 'app'],
  pinned: ['shared'],
  plain: ['own'],
} as const satisfies Record<string, readonly string[]>

describe('a machine that boots again', { concurrency: false }, () => {
  let lab: Lab
  let near: DockerHost
  let far: DockerHost
  let b: Container
  const inLab = (sentence: string, body: (t: TestContext) => Promise<void>): void => {
    test(sentence, (t) => explainFailure(lab, () => body(t)))
  }

  before(async () => {
    lab = await Lab.create({ hosts: ['96', '98'], plugin: 'before docker' })
    ;[near, far] = [lab.host('96'), lab.host('98')]
    for (const [index, host] of [near, far].entries()) {
      for (const form of ['web', 'app', 'shared'] as const) await createForm(host, form)
      // Docker's own address management needs a subnet before it takes an address.
      await createNetwork(host, 'own', ['--subnet', `10.9${index}.77.0/24`])
    }
    b = await far.run('far', { network: ['web', 'app', 'shared', 'own'] })
    const restart = ['--restart', 'always']
    await near.run('always', { network: CONTAINERS.always, options: restart })
    const probe = await near.run('probe', { network: 'shared' })
    const shared = (await probe.ip()).replace(/\.\d+$/, PINNED.shared)
    await probe.remove()
    await near.run('pinned', { network: 'shared', options: [...restart, '--ip', shared] })
    await near.run('plain', { network: 'own', options: [...restart, '--ip', `10.90${PINNED.own}`] })
    await near.run('once', { network: ['web', 'app'] })
    await everybodyReaches()
  })
  after(async () => {
    await lab.remove()
  })

  inLab(
    'with overlay-ts before Docker has its containers back, and others notice nothing',
    async (t) => {
      await boots(t, async () => {
        await near.startPlugin()
        await near.startDocker()
      })
    },
  )

  inLab('with Docker before overlay-ts, too', async (t) => {
    await boots(t, async () => {
      // It answers only once it has tried to reach each network's plugin.
      const docker = near.startDocker()
      await near.startPlugin()
      await docker
    })
  })

  async function boots(t: TestContext, start: () => Promise<void>): Promise<void> {
    const pinned = await pinnedAddresses()
    for (const host of [near, far]) await agreedEndpoints(lab, host)
    await untilBridgesPublished(lab)
    const elsewhere = await far.stateText()
    const leases = await lab.etcdText('/overlay-ts/subnets/')
    const creations = near.pluginLog().split('network created').length
    await lab.reboot('96')
    const started = performance.now()
    await start()
    await everybodyReaches()
    t.diagnostic(
      `everybody answers ${Math.round(performance.now() - started)} ms after power is back`,
    )
    assert.deepEqual(await pinnedAddresses(), pinned)
    assert.equal(near.pluginLog().split('network created').length, creations)
    const left = await agreedEndpoints(lab, near)
    assert.equal(left.length, Object.values(CONTAINERS).flat().length, left.join('\n'))
    await untilCables(near, left.length)
    const ours = left.map((line) => line.split(' ')[1]!).filter((ip) => /^10\.(3|4)/.test(ip))
    await eventually(() => assert.deepEqual(addressesInUse(near), ours.sort()), {
      what: 'the addresses of before to be free',
      timeout: 90_000,
      every: 250,
    })
    await eventually(
      async () => {
        assert.equal(await far.stateText(), elsewhere)
        assert.equal(await lab.etcdText('/overlay-ts/subnets/'), leases)
      },
      { what: 'the other host to be as before', every: 250 },
    )
    await near.docker('start', 'once')
    await assertReaches(
      near.container('once'),
      [await b.ip('web')],
      await near.container('once').ip('web'),
    )
    await isMended(() => near.pluginLog())
    assert.doesNotMatch(near.pluginLog(), /housekeeping failed/)
  }

  async function pinnedAddresses(): Promise<string[]> {
    return Promise.all([near.container('pinned').ip(), near.container('plain').ip()])
  }

  /** Each container with a restart policy runs, and it and the other host's reach each other. */
  async function everybodyReaches(): Promise<void> {
    const all = Object.entries(CONTAINERS)
    await Promise.all(all.map(async ([name, networks]) => reachesAll(name, networks)))
  }

  async function reachesAll(name: string, networks: readonly string[]): Promise<void> {
    const container = near.container(name)
    await untilRunning(container)
    await assertBothWays(container, b, networks)
  }
})
