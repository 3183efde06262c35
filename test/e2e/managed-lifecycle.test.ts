import assert from 'node:assert/strict'
import { after, before, describe, test, type TestContext } from 'node:test'
import { ETCD_IP } from '../../lab/address.ts'
import { argv } from '../../lab/argv.ts'
import type { Container } from '../../lab/container.ts'
import type { DockerHost } from '../../lab/docker-host.ts'
import { Lab } from '../../lab/lab.ts'
import { builtPlugin } from '../../lab/managed-plugin.ts'
import { Registry, registryAddress } from '../../lab/registry.ts'
import { explainFailure } from '../support/lab.ts'
import { eventually, waitFor } from '../support/wait.ts'
import { assertReaches } from './support/answers.ts'
import {
  attachmentsOf,
  makeGatewayBridge,
  MANAGED_SETTINGS,
  pushVersion,
  runningVersion,
  tracesOf,
} from './support/managed-host.ts'
import { managedProcess } from './support/managed-process.ts'
import { createNetwork, NETWORK_FORMS } from './support/network-forms.ts'
import { Traffic } from './support/traffic.ts'
import { untilCables } from './support/until-cables.ts'

const PLUGIN = `${registryAddress(ETCD_IP)}/overlay-ts:1`
const NEWER = `${registryAddress(ETCD_IP)}/overlay-ts:2`

/** A pooled overlay, and a plain network whose subnet was chosen so that containers may choose addresses. */
const NETWORKS = ['web', 'chosen'] as const
const CHOSEN_IP = '10.50.96.77'

describe('a managed plugin, while containers talk,', { concurrency: false }, () => {
  let lab: Lab
  let near: DockerHost
  let far: DockerHost
  /** On the host of the plugin, and its peers there and on the other host. */
  let a: Container
  let neighbour: Container
  let b: Container
  let traffic: Traffic
  let untouched: string
  const inLab = (sentence: string, body: (t: TestContext) => Promise<void>): void => {
    test(sentence, (t) => explainFailure(lab, () => body(t)))
  }

  before(async () => {
    const dockerd = argv`--insecure-registry ${registryAddress(ETCD_IP)}`
    lab = await Lab.create({ hosts: ['96', '98'], dockerd })
    ;[near, far] = [lab.host('96'), lab.host('98')]
    await explainFailure(lab, async () => {
      await new Registry(lab.etcd.machine).start()
      await builtPlugin(near)
      await Promise.all([
        pushVersion(near, PLUGIN, '1.0.0'),
        far.startPlugin(),
        makeGatewayBridge(near),
        pushVersion(far, NEWER, '2.0.0'),
      ])
      untouched = await tracesOf(near)
      await install()
      for (const host of lab.hosts) {
        await createNetwork(host, 'web', NETWORK_FORMS.web)
        await createNetwork(host, 'chosen', argv`--subnet 10.50.${host.name}.0/24`)
      }
      a = await near.run('near', { network: 'chosen', options: argv`--ip ${CHOSEN_IP}` })
      await near.docker('network', 'connect', 'web', 'near')
      neighbour = await near.run('neighbour', { network: 'web' })
      b = await far.run('far', { network: NETWORKS })
      const [web, chosen, local] = [await b.ip('web'), CHOSEN_IP, await neighbour.ip()]
      traffic = await Traffic.start([
        { name: 'UDP out', kind: 'udp', from: a, to: b, ip: web, port: 9001 },
        { name: 'UDP in', kind: 'udp', from: b, to: a, ip: chosen, port: 9002 },
        { name: 'TCP out', kind: 'tcp', from: a, to: b, ip: web, port: 9003 },
        { name: 'same host', kind: 'udp', from: a, to: neighbour, ip: local, port: 9004 },
      ])
    })
  })
  after(async () => {
    await traffic?.[Symbol.asyncDispose]()
    await lab.remove()
  })

  inLab('tells a running container of a subnet that another host gets later', async () => {
    const routes = (): Promise<string> => a.exec('ip', 'route')
    assert.doesNotMatch(await routes(), /10\.50\.198/)
    await createNetwork(far, 'more', argv`--subnet 10.50.198.0/24 -o overlay=chosen`)
    const later = await far.run('later', { network: 'more' })
    await eventually(async () => assert.match(await routes(), /^10\.50\.198\.0\/24 via /m), {
      what: 'the route inside the container',
      timeout: 30_000,
    })
    await assertReaches(a, [await later.ip()], CHOSEN_IP)
    await later.remove()
    await far.docker('network', 'rm', 'more')
  })

  inLab('takes settings only while it is disabled', async (t) => {
    await assert.rejects(plugin('set', PLUGIN, 'LOG_LEVEL=debug'), /disable plugin before setting/)
    await interruption(t, 'set: disable, set, enable', async () => {
      await plugin('disable', PLUGIN)
      await plugin('set', PLUGIN, 'LOG_LEVEL=debug')
      await plugin('enable', PLUGIN)
    })
    assert.match(near.dockerd.log(), /"level\\":20/)
  })

  inLab('leaves everything in place while it is disabled', async (t) => {
    await interruption(t, 'disable, look around, enable', async () => {
      await untilCables(near, NETWORKS.length + 1)
      const enabled = await near.stateText()
      await plugin('disable', PLUGIN)
      await stays(withoutSockets(enabled))
      await a.ping(await neighbour.ip())
      assert.equal(await a.reaches(await b.ip('web')), false)
      await plugin('enable', PLUGIN)
    })
  })

  inLab('is started again by Docker when it is killed', async (t) => {
    const pid = managedProcess(near)
    assert.ok(pid !== undefined)
    await interruption(t, 'kill -9 of its process', async () => {
      process.kill(pid, 'SIGKILL')
    })
    assert.notEqual(managedProcess(near), pid)
  })

  inLab('is upgraded to another version, and keeps what it knew', async (t) => {
    assert.equal(await waitFor(() => runningVersion(near), { what: 'a version' }), '1.0.0')
    await interruption(t, 'upgrade: disable, upgrade, enable', async () => {
      await plugin('disable', PLUGIN)
      await plugin('upgrade', '--grant-all-permissions', '--skip-remote-check', PLUGIN, NEWER)
      await plugin('enable', PLUGIN)
    })
    assert.equal(await waitFor(() => runningVersion(near), { what: 'a version' }), '2.0.0')
  })

  inLab('is not disabled under networks made by its full name, unless by force', async (t) => {
    const words = argv`-d ${PLUGIN} --ipam-driver ${PLUGIN} --ipam-opt overlay=full`
    await near.docker('network', 'create', ...words, 'full')
    await createNetwork(far, 'full', argv`--ipam-driver overlay-ts --ipam-opt overlay=full`)
    for (const { host, name } of [a, b]) await host.docker('network', 'connect', 'full', name)
    await assertReaches(a, [await b.ip('full')], await a.ip('full'))
    await assert.rejects(plugin('disable', PLUGIN), /is in use/)
    await interruption(t, 'disable -f, enable', async () => {
      await plugin('disable', '-f', PLUGIN)
      await plugin('enable', PLUGIN)
    })
    await assertReaches(a, [await b.ip('full')], await a.ip('full'))
    for (const { host, name } of [a, b]) {
      await host.docker('network', 'disconnect', 'full', name)
      await host.docker('network', 'rm', 'full')
    }
  })

  inLab('is removed and installed again, and finds its networks again', async (t) => {
    await interruption(t, 'disable, rm, install', async () => {
      await untilCables(near, NETWORKS.length + 1)
      const enabled = await near.stateText()
      await plugin('disable', PLUGIN)
      await plugin('rm', PLUGIN)
      await stays(withoutSockets(enabled))
      await install()
    })
  })

  inLab('leaves nothing when it is removed after its networks', async () => {
    await traffic[Symbol.asyncDispose]()
    assert.notEqual(await tracesOf(near), untouched)
    for (const container of [a, neighbour]) await container.remove()
    for (const name of NETWORKS) await near.docker('network', 'rm', name)
    await plugin('disable', PLUGIN)
    await plugin('rm', PLUGIN)
    await eventually(async () => assert.equal(await tracesOf(near), untouched), {
      what: 'every trace of the plugin to be gone',
      timeout: 30_000,
      every: 500,
    })
    await eventually(async () => assert.doesNotMatch(await lab.etcdText(), /172\.18\.10\.96/), {
      what: 'the host to be gone from etcd',
      timeout: 60_000,
    })
  })

  async function stays(state: string): Promise<void> {
    await eventually(async () => assert.equal(await near.stateText(), state), {
      what: 'the host to be as before, without the plugin',
      every: 250,
    })
  }

  const install = (): Promise<string> =>
    plugin(...argv`install --grant-all-permissions ${PLUGIN} ${MANAGED_SETTINGS}`)

  const plugin = (...words: readonly string[]): Promise<string> => near.docker('plugin', ...words)

  /** Shows how long each flow was silent; containers must keep running with all they had, and new ones be served. */
  async function interruption(
    t: TestContext,
    event: string,
    body: () => Promise<void>,
  ): Promise<void> {
    const before = await attachmentsOf(near)
    const silences = await traffic.during(body)
    const seconds = Object.values(silences).map((ms) => `${(ms / 1000).toFixed(2)} s`)
    t.diagnostic(`| ${[event, ...seconds].join(' | ')} |`)
    assert.equal(await attachmentsOf(near), before)
    const fresh = await near.run('fresh', { network: NETWORKS })
    for (const name of NETWORKS) {
      await assertReaches(fresh, [await b.ip(name)], await fresh.ip(name))
    }
    await fresh.remove()
  }
})

/** The state without the sockets of the short name and of the plugin's own folder: a dead one holds Docker up. */
const withoutSockets = (state: string): string =>
  state.replace(/(== plugin sockets)\n[0-9a-f]{64}\noverlay-ts.sock/, '$1')
