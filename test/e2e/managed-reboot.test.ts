import assert from 'node:assert/strict'
import { after, before, describe, test, type TestContext } from 'node:test'
import { argv } from '../../lab/argv.ts'
import type { Container } from '../../lab/container.ts'
import type { DockerHost } from '../../lab/docker-host.ts'
import { Lab } from '../../lab/lab.ts'
import { createManagedPlugin, MANAGED_PLUGIN } from '../../lab/managed-plugin.ts'
import { explainFailure } from '../support/lab.ts'
import { eventually, waitFor } from '../support/wait.ts'
import { assertReaches } from './support/answers.ts'
import { addressesInUse, agreedEndpoints, cables } from './support/endpoint-records.ts'
import {
  attachmentsOf,
  MANAGED_SETTINGS,
  managedStateDir,
  pluginMounts,
} from './support/managed-host.ts'
import { managedProcess } from './support/managed-process.ts'
import { createNetwork, NETWORK_FORMS } from './support/network-forms.ts'

/** A pooled overlay, and a plain network whose subnet was chosen so that containers may choose addresses. */
const NETWORKS = ['web', 'chosen'] as const
const CHOSEN_IP = '10.50.96.77'

/** On the host that boots, with a restart policy, each on all networks. */
const BACK = ['pinned', 'always'] as const

describe('a machine boots again under a managed plugin', { concurrency: false }, () => {
  let lab: Lab
  let near: DockerHost
  let far: DockerHost
  let b: Container
  const inLab = (sentence: string, body: (t: TestContext) => Promise<void>): void => {
    test(sentence, (t) => explainFailure(lab, () => body(t)))
  }

  before(async () => {
    lab = await Lab.create({ hosts: ['96', '98'] })
    ;[near, far] = [lab.host('96'), lab.host('98')]
    await explainFailure(lab, async () => {
      await Promise.all([
        createManagedPlugin(near, { settings: MANAGED_SETTINGS }),
        far.startPlugin(),
      ])
      for (const host of lab.hosts) {
        await createNetwork(host, 'web', NETWORK_FORMS.web)
        await createNetwork(host, 'chosen', argv`--subnet 10.50.${host.name}.0/24`)
      }
      b = await far.run('far', { network: NETWORKS })
      const restart = ['--restart', 'always']
      const pinned = argv`${restart} --ip ${CHOSEN_IP}`
      await near.run('pinned', { network: 'chosen', options: pinned })
      await near.docker('network', 'connect', 'web', 'pinned')
      await near.run('always', { network: NETWORKS, options: restart })
      await near.run('once', { network: NETWORKS })
      for (const name of [...BACK, 'once']) await reachesAll(near.container(name))
    })
  })
  after(async () => {
    await lab.remove()
  })

  inLab('after its power was cut: what Docker starts is back', async (t) => {
    await boots(t, 'power cut', async () => {})
  })

  inLab('after it was shut down, too', async (t) => {
    await boots(t, 'shut down', async () => near.stopDocker())
  })

  async function boots(t: TestContext, event: string, end: () => Promise<void>): Promise<void> {
    const [process, mounts] = [managedProcess(near), await pluginMounts(near)]
    const elsewhere = [await far.stateText(), await attachmentsOf(far), far.plugin.pid]
    const leases = await lab.etcdText('/overlay-ts/subnets/')
    const written = near.dockerd.log().length
    await end()
    await lab.reboot('96')
    const from = performance.now()
    await near.startDocker()
    const started = performance.now()
    await waitFor(() => b.reaches(CHOSEN_IP), {
      what: 'the container with a restart policy to answer',
      timeout: 60_000,
    })
    const [served, back] = [started, performance.now()].map((at) => (at - from) / 1000)
    t.diagnostic(
      `| booted after ${event} | served after ${served!.toFixed(1)} s | answered after ${back!.toFixed(1)} s |`,
    )
    await isServed()
    for (const name of BACK) await reachesAll(await running(name))
    assert.equal(await near.container('pinned').ip('chosen'), CHOSEN_IP)
    assert.notEqual(managedProcess(near), process)
    assert.equal(await pluginMounts(near), mounts)
    await nothingIsLeft()
    assert.deepEqual([await far.stateText(), await attachmentsOf(far), far.plugin.pid], elsewhere)
    assert.equal(await lab.etcdText('/overlay-ts/subnets/'), leases)
    await near.docker('start', 'once')
    await reachesAll(near.container('once'))
    const log = near.dockerd.log().slice(written)
    // The networks are those on disk, and dockerd did not have to wait for the plugin.
    assert.doesNotMatch(log, /network created|Unable to (locate|connect to) plugin/)
    assert.doesNotMatch(log, /housekeeping failed|not as it should be/)
  }

  async function isServed(): Promise<void> {
    const enabled = await near.docker('plugin', 'inspect', '-f', '{{.Enabled}}', MANAGED_PLUGIN)
    assert.equal(enabled.trim(), 'true')
    await waitFor(async () => near.admin('/readyz'), { what: 'the plugin to be ready' })
  }

  /** The container of this name, once it runs. */
  async function running(name: string): Promise<Container> {
    await eventually(
      async () => {
        const state = await near.docker('inspect', '-f', '{{.State.Running}}', name)
        assert.equal(state.trim(), 'true')
      },
      { what: `${name} to run`, timeout: 60_000, every: 250 },
    )
    return near.container(name)
  }

  /** The container and the one on the other host, in both directions and in both networks. */
  async function reachesAll(container: Container): Promise<void> {
    for (const name of NETWORKS) {
      await assertReaches(container, [await b.ip(name)], await container.ip(name))
      await assertReaches(b, [await container.ip(name)], await b.ip(name))
    }
  }

  /** Docker, the journal, etcd and the machine have the containers that run, and no others. */
  async function nothingIsLeft(): Promise<void> {
    const stateDir = await managedStateDir(near, MANAGED_PLUGIN)
    const left = await agreedEndpoints(lab, near, stateDir)
    assert.equal(left.length, BACK.length * NETWORKS.length, left.join('\n'))
    assert.equal(await cables(near), left.length)
    const pooled = await Promise.all(BACK.map((name) => near.container(name).ip('web')))
    await eventually(() => assert.deepEqual(addressesInUse(near, stateDir), pooled.sort()), {
      what: 'the addresses of before to be free',
      timeout: 30_000,
      every: 250,
    })
  }
})
