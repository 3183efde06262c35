import assert from 'node:assert/strict'
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, test, type TestContext } from 'node:test'
import { argv } from '../../lab/argv.ts'
import type { Container } from '../../lab/container.ts'
import type { DockerHost } from '../../lab/docker-host.ts'
import { Lab } from '../../lab/lab.ts'
import { MANAGED_PLUGIN } from '../../lab/managed-plugin.ts'
import { explainFailure } from '../support/lab.ts'
import { eventually, waitFor } from '../support/wait.ts'
import { assertBothWays } from './support/both-ways.ts'
import { attachmentsOf, pluginMounts } from './support/managed-host.ts'
import {
  CHOSEN_IP,
  makeManagedPair,
  PAIR_NETWORKS,
  startsAnswering,
} from './support/managed-pair.ts'
import { managedProcess } from './support/managed-process.ts'
import { createNetwork } from './support/network-forms.ts'
import { Traffic } from './support/traffic.ts'
import { untilCables } from './support/until-cables.ts'

const LIVE = ['--live-restore']

describe('dockerd starts again under a managed plugin', { concurrency: false }, () => {
  let lab: Lab
  let near: DockerHost
  let a: Container
  let b: Container
  const inLab = (sentence: string, body: (t: TestContext) => Promise<void>): void => {
    test(sentence, (t) => explainFailure(lab, () => body(t)))
  }

  before(async () => {
    lab = await Lab.create({ hosts: ['96', '98'] })
    near = lab.host('96')
    const far = lab.host('98')
    await explainFailure(lab, async () => {
      await makeManagedPair(near, far)
      a = await near.run('near', {
        network: 'chosen',
        options: argv`--restart always --ip ${CHOSEN_IP}`,
      })
      await near.docker('network', 'connect', 'web', 'near')
      b = await far.run('far', { network: PAIR_NETWORKS })
    })
  })
  after(async () => {
    await lab.remove()
  })

  for (const signal of ['SIGTERM', 'SIGKILL'] as const) {
    inLab(`without live-restore, after ${signal}: what Docker starts is back`, async (t) => {
      const [process, mounts] = [managedProcess(near), await pluginMounts(near)]
      const ips = await a.networks()
      const from = performance.now()
      await near.stopDocker(signal)
      await startsAnswering(t, `dockerd ${signal}`, { host: near, asker: b, from })
      assert.equal((await a.networks())['chosen'], ips['chosen'])
      assert.notEqual(managedProcess(near), process)
      await hasMounts(mounts)
      await isServed()
    })
  }

  for (const signal of ['SIGTERM', 'SIGKILL'] as const) {
    inLab(`with live-restore, after ${signal}: containers and plugin run on`, async (t) => {
      if (signal === 'SIGTERM') await turnOnLiveRestore()
      const [attachments, process] = [await attachmentsOf(near), managedProcess(near)]
      const mounts = await pluginMounts(near)
      await using traffic = await Traffic.start([
        { name: 'UDP out', kind: 'udp', from: a, to: b, ip: await b.ip('web'), port: 9001 },
        { name: 'UDP in', kind: 'udp', from: b, to: a, ip: CHOSEN_IP, port: 9002 },
        { name: 'TCP out', kind: 'tcp', from: a, to: b, ip: await b.ip('web'), port: 9003 },
      ])
      const silences = await traffic.during(async () => {
        await near.stopDocker(signal)
        await near.startDocker(LIVE)
      })
      const seconds = Object.values(silences).map((ms) => `${(ms / 1000).toFixed(2)} s`)
      t.diagnostic(`| dockerd ${signal}, live-restore | ${seconds.join(' | ')} |`)
      assert.equal(await attachmentsOf(near), attachments)
      assert.equal(managedProcess(near), process)
      await hasMounts(mounts)
      await isServed()
    })
  }

  inLab("without Docker's API, which it says at its start, it wants overlays named", async () => {
    const folder = near.machine.path('no-api')
    mkdirSync(join(folder, 'docker'), { recursive: true })
    await setWhileDisabled(`run.source=${folder}`)
    await assert.rejects(createNetwork(near, 'nameless'), /cannot learn this network's name/)
    await createNetwork(near, 'named', argv`-o overlay=named`)
    assert.match(near.dockerd.log(), /Docker's API does not answer; until it does, networks/)
    await isServed()
    await near.docker('network', 'rm', 'named')
    await setWhileDisabled('run.source=/run')
    await createNetwork(near, 'nameless')
    await near.docker('network', 'rm', 'nameless')
  })

  async function turnOnLiveRestore(): Promise<void> {
    await near.stopDocker()
    await near.startDocker(LIVE)
    await waitFor(() => b.reaches(CHOSEN_IP), { what: 'the container to be back', timeout: 60_000 })
  }

  async function setWhileDisabled(setting: string): Promise<void> {
    await near.docker('plugin', 'disable', MANAGED_PLUGIN)
    await near.docker('plugin', 'set', MANAGED_PLUGIN, setting)
    await near.docker('plugin', 'enable', MANAGED_PLUGIN)
  }

  /** The old container and a new one are reached and reach, in both networks. */
  async function isServed(): Promise<void> {
    const fresh = await near.run('fresh', { network: PAIR_NETWORKS })
    for (const container of [a, fresh]) await assertBothWays(container, b, PAIR_NETWORKS)
    await fresh.remove()
    await untilCables(near, PAIR_NETWORKS.length)
  }

  /** Those of before; what a process had that ended is gone some time after it. */
  async function hasMounts(mounts: string): Promise<void> {
    await eventually(async () => assert.equal(await pluginMounts(near), mounts), {
      what: 'the mounts to be as before',
      every: 250,
    })
  }
})
