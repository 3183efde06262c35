import assert from 'node:assert/strict'
import { after, before, describe, test, type TestContext } from 'node:test'
import type { Container } from '../../lab/container.ts'
import type { DockerHost } from '../../lab/docker-host.ts'
import { Lab } from '../../lab/lab.ts'
import { explainFailure } from '../support/lab.ts'
import { eventually, waitFor } from '../support/wait.ts'
import { assertReaches } from './support/answers.ts'
import { Capture } from './support/capture.ts'
import {
  addressesInUse,
  agreedEndpoints,
  endpointRecords,
  journalFiles,
} from './support/endpoint-records.ts'
import { createForm, createNetwork } from './support/network-forms.ts'
import { NumberedStream } from './support/numbered-stream.ts'
import { untilBridgesPublished } from './support/until-bridges-published.ts'
import { untilCables } from './support/until-cables.ts'

/** A pooled overlay and a plain network: what carries their packets differs. */
const NETWORKS = ['web', 'app'] as const

describe('a plugin that dies', { concurrency: false }, () => {
  let lab: Lab
  let near: DockerHost
  let far: DockerHost
  /** Its plugin is away longer than dockerd has patience, while the others are tried. */
  let lonely: DockerHost
  let a: Container
  let b: Container
  let unheard: Promise<string>
  let unheardRemoval: Promise<string>
  const inLab = (sentence: string, body: (t: TestContext) => Promise<void>): void => {
    test(sentence, (t) => explainFailure(lab, () => body(t)))
  }

  before(async () => {
    lab = await Lab.create({ hosts: ['96', '98', '99'], plugin: 'before docker' })
    ;[near, far, lonely] = [lab.host('96'), lab.host('98'), lab.host('99')]
    for (const host of [near, far]) for (const form of NETWORKS) await createForm(host, form)
    await createForm(lonely, 'app')
    await createNetwork(lonely, 'idle')
    await waitFor(() => networksInJournal(lonely).includes('idle'), {
      what: 'the name of the network to be known',
    })
    await lonely.run('gone', { network: 'app' })
    a = await near.run('near', { network: NETWORKS })
    b = await far.run('far', { network: NETWORKS })
    await untilBridgesPublished(lab)
    await lonely.killPlugin()
    unheard = lonely.docker('rm', '-f', 'gone')
    unheardRemoval = lonely.docker('network', 'rm', 'idle')
    // Their outcome is judged by later tests.
    for (const each of [unheard, unheardRemoval]) each.catch(() => {})
  })
  after(async () => {
    await lab.remove()
  })

  inLab('keeps open connections over kill -9 and over SIGTERM, every byte of them', async (t) => {
    for (const signal of ['SIGKILL', 'SIGTERM'] as const) {
      const before = await stateOf(near)
      await using streams = await everyStream()
      await near.killPlugin(signal)
      await near.startPlugin()
      for (const stream of streams.all) await stream.flows()
      const lines = await Promise.all(
        streams.all.map(async (stream, index) => {
          const { sent, received, longestGapMs } = await stream.finish()
          return `${streams.names[index]}: ${received} of ${sent} numbers, longest gap ${longestGapMs} ms`
        }),
      )
      for (const line of lines) t.diagnostic(`${signal}, ${line}`)
      await eventually(async () => assert.equal(await stateOf(near), before), {
        what: `host 96 to be as before ${signal}`,
        timeout: 60_000,
      })
    }
    const fresh = await near.run('fresh', { network: NETWORKS })
    for (const name of NETWORKS) {
      await assertReaches(fresh, [await b.ip(name)], await fresh.ip(name))
    }
    await fresh.remove()
  })

  inLab('lets nothing of the overlay leave in clear, with its TUN and without', async () => {
    const addresses = await Promise.all(NETWORKS.map((name) => b.ip(name)))
    const own = await Promise.all(NETWORKS.map((name) => a.ip(name)))
    await using capture = await Capture.start(lab, '96')
    await using streams = await everyStream()
    for (const stream of streams.all) await stream.flows()
    await near.killPlugin()
    // An address of the pool that no host has, too.
    const wanted = [...addresses, '10.32.127.9']
    await assertUnreachable(a, wanted)
    await assertUnreachable(near, wanted)
    await near.exec('ip', 'link', 'del', 'ov-tun')
    await assertUnreachable(a, wanted)
    await assertUnreachable(near, wanted)
    await near.startPlugin()
    for (const stream of streams.all) await stream.flows(60_000)
    for (const stream of streams.all) await stream.finish()
    await capture.stop()

    const subnets = [...own, ...addresses].map(
      (ip) => `net ${ip.replace(/\.\d+\.\d+$/, '.0.0/16')}`,
    )
    assert.ok((await capture.packets('udp port 8472')).length > 100, 'the capture saw the tunnel')
    assert.deepEqual(await capture.packets([...subnets, 'net 10.32.0.0/12'].join(' or ')), [])
  })

  inLab('hears of a container that stopped while it was away', async () => {
    const stopped = await near.run('stopped', { network: 'web' })
    await near.killPlugin()
    const removal = stopped.remove()
    const isRefused = (): boolean =>
      /NetworkDriver\.Leave.*connection refused, retrying/.test(near.dockerd.log())
    await waitFor(isRefused, { what: 'dockerd to miss the plugin', timeout: 30_000 })
    await near.startPlugin()
    await removal
    const left = await agreedEndpoints(lab, near)
    assert.equal(left.length, NETWORKS.length)
    await untilCables(near, left.length)
  })

  inLab('finds out about a container that Docker gave up telling it of', async () => {
    await unheard
    assert.equal(idsInJournal(lonely).length, 1)
    await lonely.startPlugin()
    // Docker gives its address to the next container, which the old record must not keep it from.
    const next = await lonely.run('next', { network: 'app' })
    await assertReaches(next, [await b.ip('app')], await next.ip('app'))
    assert.deepEqual(await agreedEndpoints(lab, lonely), [
      `${idsInJournal(lonely).join()} ${await next.ip('app')}`,
    ])
  })

  inLab('in the middle of attaching containers gives no address twice', async () => {
    const names = ['s1', 's2', 's3', 's4']
    for (const name of names) await near.run(name)
    const over = new AbortController()
    const churn = names.map(async (name) => {
      while (!over.signal.aborted) {
        for (const verb of ['connect', 'disconnect']) {
          // What is cut off in the middle may fail; that it leaves nothing is judged at the end.
          await near.docker('network', verb, 'web', name).catch(() => {})
        }
      }
    })
    for (let kill = 0; kill < 3; kill++) {
      const before = new Set(idsInJournal(near))
      await waitFor(() => idsInJournal(near).some((id) => !before.has(id)), {
        what: 'another endpoint to be in the making',
        timeout: 30_000,
        every: 1,
      })
      await near.killPlugin()
      await near.startPlugin()
    }
    over.abort()
    await Promise.all(churn)
    for (const name of names) {
      await eventually(
        async () => {
          if (await near.container(name).reaches(await b.ip('web'))) return
          // dockerd's own half of an attachment that was cut off is in the way of another.
          await near.docker('network', 'disconnect', '-f', 'web', name).catch(() => {})
          await near.docker('network', 'connect', 'web', name)
          await near.container(name).ping(await b.ip('web'))
        },
        { what: `${name} to be connected`, timeout: 60_000 },
      )
    }
    const { docker } = await endpointRecords(lab, near)
    const addresses = docker.map((line) => line.split(' ')[1])
    assert.equal(new Set(addresses).size, addresses.length, docker.join('\n'))
    for (const name of names) {
      const container = near.container(name)
      await assertReaches(container, [await b.ip('web')], await container.ip('web'))
    }
  })

  inLab('has lost no address in the end', async () => {
    const agreed = await agreedEndpoints(lab, near)
    await untilCables(near, agreed.length)
    const pooled = agreed.map((line) => line.split(' ')[1]!).filter((ip) => ip.startsWith('10.'))
    await eventually(() => assert.deepEqual(addressesInUse(near), pooled.sort()), {
      what: 'the addresses of failed attempts to be free again',
      timeout: 90_000,
      every: 250,
    })
  })

  inLab(
    'finds out about a network that Docker gave up telling it of, and keeps the others',
    async () => {
      await unheardRemoval
      await eventually(() => assert.deepEqual(networksInJournal(lonely), ['app']), {
        what: 'the network to be removed',
        timeout: 90_000,
        every: 250,
      })
      await eventually(
        async () => {
          assert.equal((await lonely.exec('ip', '-br', 'link')).match(/^ov-b/gm)?.length, 1)
          assert.equal((await lab.etcdText('/overlay-ts/')).includes('/overlays/idle'), false)
        },
        { what: 'nothing of it to be left', timeout: 30_000, every: 250 },
      )
    },
  )

  /** TCP and UDP in both networks and both directions. */
  async function everyStream(): Promise<
    AsyncDisposable & { all: readonly NumberedStream[]; names: readonly string[] }
  > {
    await using cleanUp = new AsyncDisposableStack()
    const all: NumberedStream[] = []
    const names: string[] = []
    for (const network of NETWORKS) {
      for (const kind of ['tcp', 'udp'] as const) {
        const isOutward = (network === 'web') === (kind === 'tcp')
        const [from, to] = isOutward ? [a, b] : [b, a]
        const port = kind === 'tcp' ? 9000 : 9001
        const ip = await to.ip(network)
        all.push(cleanUp.use(await NumberedStream.start(kind, from, to, { ip, port })))
        names.push(`${kind} ${isOutward ? 'out of' : 'into'} the host on ${network}`)
      }
    }
    const kept = cleanUp.move()
    return { all, names, [Symbol.asyncDispose]: () => kept.disposeAsync() }
  }

  /** The host's network state and the routes of its container. */
  async function stateOf(host: DockerHost): Promise<string> {
    return `${await host.stateText()}\n${await a.exec('ip', 'route')}`
  }
})

function idsInJournal(host: DockerHost): string[] {
  return journalFiles<{ id: string }>(host, 'endpoints').map(({ id }) => id)
}

function networksInJournal(host: DockerHost): (string | null)[] {
  return journalFiles<{ name: string | null }>(host, 'networks').map(({ name }) => name)
}

async function assertUnreachable(
  asker: Container | DockerHost,
  ips: readonly string[],
): Promise<void> {
  const pings = ips.map((ip) => asker.exec('busybox', 'ping', '-c', '2', '-W', '1', ip))
  await Promise.all(pings.map((ping) => assert.rejects(ping)))
}
