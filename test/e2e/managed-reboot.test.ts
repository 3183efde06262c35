import assert from 'node:assert/strict'
import { after, before, describe, test, type TestContext } from 'node:test'
import { argv } from '../../lab/argv.ts'
import type { Container } from '../../lab/container.ts'
import type { DockerHost } from '../../lab/docker-host.ts'
import { Lab } from '../../lab/lab.ts'
import { MANAGED_PLUGIN } from '../../lab/managed-plugin.ts'
import { explainFailure } from '../support/lab.ts'
import { eventually, waitFor } from '../support/wait.ts'
import { assertBothWays } from './support/both-ways.ts'
import { addressesInUse, agreedEndpoints } from './support/endpoint-records.ts'
import { attachmentsOf, managedStateDir, pluginMounts } from './support/managed-host.ts'
import {
  CHOSEN_IP,
  makeManagedPair,
  PAIR_NETWORKS,
  startsAnswering,
} from './support/managed-pair.ts'
import { managedProcess } from './support/managed-process.ts'
import { isMended } from './support/is-mended.ts'
import { untilBridgesPublished } from './support/until-bridges-published.ts'
import { untilCables } from './support/until-cables.ts'
import { untilRunning } from './support/until-running.ts'

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
      await makeManagedPair(near, far)
      b = await far.run('far', { network: PAIR_NETWORKS })
      const restart = ['--restart', 'always']
      const pinned = argv`${restart} --ip ${CHOSEN_IP}`
      await near.run('pinned', { network: 'chosen', options: pinned })
      await near.docker('network', 'connect', 'web', 'pinned')
      await near.run('always', { network: PAIR_NETWORKS, options: restart })
      await near.run('once', { network: PAIR_NETWORKS })
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
    await agreedEndpoints(lab, near, await managedStateDir(near, MANAGED_PLUGIN))
    await agreedEndpoints(lab, far)
    await untilBridgesPublished(lab)
    const elsewhere = [await far.stateText(), await attachmentsOf(far), far.plugin.pid]
    const leases = await lab.etcdText('/overlay-ts/subnets/')
    const written = near.dockerd.log().length
    await end()
    await lab.reboot('96')
    const from = performance.now()
    await startsAnswering(t, `booted after ${event}`, { host: near, asker: b, from })
    await isServed()
    for (const name of BACK) {
      await untilRunning(near.container(name))
      await reachesAll(near.container(name))
    }
    assert.equal(await near.container('pinned').ip('chosen'), CHOSEN_IP)
    assert.notEqual(managedProcess(near), process)
    await nothingIsLeft()
    await eventually(
      async () => {
        assert.equal(await pluginMounts(near), mounts)
        const now = [await far.stateText(), await attachmentsOf(far), far.plugin.pid]
        assert.deepEqual(now, elsewhere)
        assert.equal(await lab.etcdText('/overlay-ts/subnets/'), leases)
      },
      { what: 'both hosts to be as before', every: 250 },
    )
    await near.docker('start', 'once')
    await reachesAll(near.container('once'))
    const logged = (): string => near.dockerd.log().slice(written)
    await isMended(logged)
    const log = logged()
    // The networks are those on disk, and dockerd did not have to wait for the plugin.
    assert.doesNotMatch(log, /network created|Unable to (locate|connect to) plugin/)
    assert.doesNotMatch(log, /housekeeping failed/)
  }

  async function isServed(): Promise<void> {
    const enabled = await near.docker('plugin', 'inspect', '-f', '{{.Enabled}}', MANAGED_PLUGIN)
    assert.equal(enabled.trim(), 'true')
    await waitFor(async () => near.admin('/readyz'), {
      what: 'the plugin to be ready',
      timeout: 60_000,
    })
  }

  const reachesAll = (container: Container): Promise<void> =>
    assertBothWays(container, b, PAIR_NETWORKS)

  /** Docker, the journal, etcd and the machine have the containers that run, and no others. */
  async function nothingIsLeft(): Promise<void> {
    const stateDir = await managedStateDir(near, MANAGED_PLUGIN)
    const left = await agreedEndpoints(lab, near, stateDir)
    assert.equal(left.length, BACK.length * PAIR_NETWORKS.length, left.join('\n'))
    await untilCables(near, left.length)
    const pooled = await Promise.all(BACK.map((name) => near.container(name).ip('web')))
    await eventually(() => assert.deepEqual(addressesInUse(near, stateDir), pooled.sort()), {
      what: 'the addresses of before to be free',
      timeout: 90_000,
      every: 250,
    })
  }
})
