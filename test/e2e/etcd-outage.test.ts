import assert from 'node:assert/strict'
import { rmSync } from 'node:fs'
import { after, before, describe, test, type TestContext } from 'node:test'
import type { Container } from '../../lab/container.ts'
import type { DockerHost } from '../../lab/docker-host.ts'
import { Lab } from '../../lab/lab.ts'
import { messageOf } from '../../src/errors.ts'
import { explainFailure } from '../support/lab.ts'
import { eventually, waitFor } from '../support/wait.ts'
import { assertReaches } from './support/answers.ts'
import { agreedEndpoints } from './support/endpoint-records.ts'
import { ETCD_SILENCE } from './support/etcd-silence.ts'
import {
  createForm,
  createNetwork,
  FORMS,
  NETWORK_FORMS,
  type NetworkForm,
} from './support/network-forms.ts'
import { NumberedStream } from './support/numbered-stream.ts'

const NETWORKS = ['web', 'app'] as const
const OUTAGE_MS = 60_000
/** What docker waits for the plugin until it can refuse; what docker itself takes is not the plugin's. */
const REFUSAL_MS = 5000
/** With every call of docker's in the log, and its time. */
const PLUGIN = { env: { LOG_LEVEL: 'debug' } } as const

describe('an outage of etcd', { concurrency: false }, () => {
  let lab: Lab
  let near: DockerHost
  let far: DockerHost
  let a: Container
  let b: Container
  const inLab = (sentence: string, body: (t: TestContext) => Promise<void>): void => {
    test(sentence, (t) => explainFailure(lab, () => body(t)))
  }

  before(async () => {
    lab = await Lab.create({ hosts: ['96', '98'] })
    ;[near, far] = [lab.host('96'), lab.host('98')]
    await Promise.all(lab.hosts.map((host) => host.startPlugin(PLUGIN)))
    for (const host of [near, far]) for (const form of NETWORKS) await createForm(host, form)
    await createNetwork(near, 'brief', ['--ipam-driver', 'overlay-ts', '-o', 'overlay=brief'])
    a = await near.run('near', { network: NETWORKS })
    b = await far.run('far', { network: NETWORKS })
    await near.run('short', { network: NETWORKS })
  })
  after(async () => {
    await lab.remove()
  })

  inLab('of 60 s stops no container and no traffic, and is made up for', async (t) => {
    await using cleanUp = new AsyncDisposableStack()
    const streams = await startStreams(cleanUp)
    await agreedEndpoints(lab, near)
    const begun = performance.now()
    await lab.etcd.kill()

    await refuses(FORMS, t)
    const late = await near.run('late', { network: NETWORKS })
    await bothWays(late)
    await near.container('short').remove()
    await near.docker('network', 'rm', 'brief')
    assert.doesNotMatch(await near.docker('network', 'ls'), /brief/)

    // Killed and started with nothing but what is on its disk.
    await near.killPlugin()
    await near.startPlugin(PLUGIN)
    for (const stream of streams) await stream.flows()
    const later = await near.run('later', { network: NETWORKS })
    await bothWays(later)
    await late.remove()
    await refuses(FORMS, t)

    await waitFor(() => performance.now() - begun >= OUTAGE_MS, {
      what: 'the outage to last 60 s',
      timeout: OUTAGE_MS,
    })
    for (const stream of streams) await stream.flows()
    await lab.etcd.start()

    for (const host of [near, far]) await agreedEndpoints(lab, host)
    await eventually(
      async () => {
        const keys = await lab.etcdText()
        assert.doesNotMatch(keys, /brief/)
        const subnets = keys.split('\n').filter((line) => line.startsWith('/overlay-ts/subnets/'))
        assert.equal(subnets.length, 4, keys)
        const holders = keys.split('\n').filter((line) => line.startsWith('/overlay-ts/holders/'))
        assert.equal(holders.length, 4, keys)
        assert.equal(keys.match(/^\/overlay-ts\/hosts\//gm)?.length, 2, keys)
      },
      { what: 'the removed network to be gone from etcd', timeout: 60_000 },
    )
    await createNetwork(near, 'brief', ['--ipam-driver', 'overlay-ts'])
    await near.docker('network', 'rm', 'brief')
    await later.remove()
    for (const stream of streams) await stream.finish()
  })

  inLab('that hangs rather than refuses keeps to the same bounds', async (t) => {
    await using cleanUp = new AsyncDisposableStack()
    const streams = await startStreams(cleanUp)
    await lab.etcd.pause()
    cleanUp.defer(() => lab.etcd.resume())
    await refuses(['web', 'app'], t)
    const late = await near.run('late', { network: NETWORKS })
    await bothWays(late)
    await late.remove()
    await near.killPlugin()
    await near.startPlugin(PLUGIN)
    for (const stream of streams) await stream.flows()
    const later = await near.run('later', { network: NETWORKS })
    await bothWays(later)
    await lab.etcd.resume()
    for (const host of [near, far]) await agreedEndpoints(lab, host)
    await later.remove()
    for (const stream of streams) await stream.finish()
  })

  inLab('that loses all data ends with every owner writing its leases back', async (t) => {
    await using cleanUp = new AsyncDisposableStack()
    const streams = await startStreams(cleanUp)
    for (const host of [near, far]) await agreedEndpoints(lab, host)
    const written = await ownKeys()
    await lab.etcd.kill()
    rmSync(lab.etcd.machine.path('data'), { recursive: true })
    for (const stream of streams) stream.forgetGaps()
    await lab.etcd.start()
    await eventually(async () => assert.deepEqual(await ownKeys(), written), {
      what: 'etcd to say what it said before',
      timeout: 60_000,
    })
    for (const host of [near, far]) await agreedEndpoints(lab, host)
    for (const stream of streams) await stream.flows()
    for (const stream of streams) {
      t.diagnostic(`nothing arrived for at most ${stream.longestGapMs} ms`)
      assert.ok(stream.longestGapMs < 10_000, `silent for ${stream.longestGapMs} ms`)
      await stream.finish()
    }
    const fresh = await near.run('fresh', { network: NETWORKS })
    await bothWays(fresh)
    await createNetwork(near, 'another', ['--ipam-driver', 'overlay-ts'])
    await near.docker('network', 'rm', 'another')
    await fresh.remove()
  })

  async function startStreams(cleanUp: AsyncDisposableStack): Promise<NumberedStream[]> {
    const streams = await Promise.all(
      NETWORKS.map(async (name) =>
        NumberedStream.start('tcp', a, b, {
          ip: await b.ip(name),
          port: 9000 + name.charCodeAt(0),
        }),
      ),
    )
    for (const stream of streams) cleanUp.use(stream)
    return streams
  }

  async function bothWays(container: Container): Promise<void> {
    for (const name of NETWORKS) {
      await assertReaches(container, [await b.ip(name)], await container.ip(name))
      await assertReaches(b, [await container.ip(name)], await b.ip(name))
    }
  }

  /** Forms of `docker network create`, one after the other as a user types them. */
  async function refuses(forms: readonly NetworkForm[], t: TestContext): Promise<void> {
    for (const form of forms) {
      const begun = near.pluginLog().length
      const said = await createNetwork(near, `x-${form}`, NETWORK_FORMS[form]).then(
        () => 'created',
        messageOf,
      )
      const took = await callsOf(begun)
      t.diagnostic(`${form}: refused after ${Math.round(took)} ms`)
      assert.match(said, ETCD_SILENCE, form)
      assert.ok(took < REFUSAL_MS, `${form} took ${Math.round(took)} ms: ${said}`)
    }
    assert.doesNotMatch(await near.docker('network', 'ls'), /x-/)
  }

  /** Milliseconds that docker's calls of the plugin took, one of them refused, since its log was so long. */
  async function callsOf(begun: number): Promise<number> {
    const calls = await waitFor(
      () => {
        const lines = near.pluginLog().slice(begun).split('\n').slice(0, -1)
        const ended = lines.filter((line) => /"msg":"call (answered|refused)"/.test(line))
        if (!ended.some((line) => line.includes('"call refused"'))) return null
        return ended.map((line) => JSON.parse(line) as { ms: number })
      },
      { what: 'the refused call to be in the log' },
    )
    return calls.reduce((sum, { ms }) => sum + ms, 0)
  }

  /** What the hosts own, without what every start of a plugin changes. */
  async function ownKeys(): Promise<string[]> {
    const keys = await lab.etcdText()
    return keys.split('\n').filter((line) => !line.startsWith('/overlay-ts/allocator'))
  }
})
