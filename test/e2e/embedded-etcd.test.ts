import assert from 'node:assert/strict'
import { rmSync } from 'node:fs'
import { after, before, describe, test, type TestContext } from 'node:test'
import { argv } from '../../lab/argv.ts'
import type { Container } from '../../lab/container.ts'
import { Daemon } from '../../lab/daemon.ts'
import type { DockerHost } from '../../lab/docker-host.ts'
import { Lab } from '../../lab/lab.ts'
import { messageOf } from '../../src/errors.ts'
import { Certificates } from '../support/certificates.ts'
import { explainFailure } from '../support/lab.ts'
import { eventually, waitFor } from '../support/wait.ts'
import { assertReaches } from './support/answers.ts'
import { createForm, type NetworkForm } from './support/network-forms.ts'
import { NumberedStream } from './support/numbered-stream.ts'
import { pluginState } from './support/plugin-state.ts'

const OWN = 'http://127.0.0.1:2379'
const GIVEN = 'http://172.18.10.95:2379'
const ANOTHER = 'http://172.18.10.95:2479'
const NEAR = '172.18.10.96'
/** While a plugin restarts, packets wait or are lost; its connections go on. */
const RESTART_GAP_MS = 30_000
/** src/store/gated-store.ts, PATIENCE_MS. */
const START_PATIENCE_MS = 3000

/** Of the keys that `etcdctl` printed as JSON, what the tests look at. */
interface Key {
  readonly key: string
  readonly hasLease: boolean
}

describe('an etcd of its own', { concurrency: false }, () => {
  let lab: Lab
  let near: DockerHost
  let far: DockerHost
  let certs: Certificates
  let a: Container
  let b: Container
  let addresses: readonly string[]
  const inLab = (sentence: string, body: (t: TestContext) => Promise<void>): void => {
    test(sentence, (t) => explainFailure(lab, () => body(t)))
  }

  before(async () => {
    certs = await Certificates.create([NEAR])
    lab = await Lab.create({ hosts: ['96', '98'] })
    ;[near, far] = [lab.host('96'), lab.host('98')]
  })
  after(async () => {
    await lab.remove()
    await certs[Symbol.asyncDispose]()
  })

  inLab(
    'serves one host without any setting, and dies and comes back with its plugin',
    async () => {
      await near.startPlugin({ env: { ETCD_ENDPOINTS: '' } })
      await createForm(near, 'web')
      a = await near.run('here', { network: 'web' })
      const neighbour = await near.run('neighbour', { network: 'web' })
      await assertReaches(a, [await neighbour.ip('web')], await a.ip('web'))
      const first = await etcdsOf(near)
      assert.equal(first.length, 1)
      const written = await keysAt(near, OWN, 'subnets/')
      assert.equal(written.length, 1)

      await near.killPlugin()
      await waitFor(async () => (await etcdsOf(near)).length === 0, {
        what: 'etcd to die with the plugin',
      })
      await near.startPlugin({ env: { ETCD_ENDPOINTS: '' } })
      await ready(near)
      const second = await etcdsOf(near)
      assert.equal(second.length, 1)
      assert.notDeepEqual(second, first)
      assert.deepEqual(await keysAt(near, OWN, 'subnets/'), written)
      await neighbour.remove()
      await createForm(near, 'routed')

      // etcd alone: what asks meanwhile waits for the next one, which on a busy machine may take longer to come.
      await near.exec('kill', '-KILL', ...(await etcdsOf(near)))
      await createWaiting(near, 'shared')
      await near.docker('network', 'rm', 'shared', 'routed')
    },
  )

  inLab('lets a second host in after a restart of the plugin with ETCD_LISTEN', async () => {
    const began = await beginOf(a)
    await restart(near, { ETCD_ENDPOINTS: '', ETCD_LISTEN: NEAR, ETCD_INSECURE: '1' })
    assert.match(near.pluginLog(), /ETCD_INSECURE=1: whoever reaches 172\.18\.10\.96:2379 can/)
    await far.startPlugin({ env: { ETCD_ENDPOINTS: `http://${NEAR}:2379` } })
    await ready(far)
    await createForm(far, 'web')
    b = await far.run('there', { network: 'web' })
    addresses = [await a.ip('web'), await b.ip('web')]
    await bothReach()
    assert.equal(await beginOf(a), began)
  })

  inLab('lets in only hosts with a certificate', async (t) => {
    await using cleanUp = new AsyncDisposableStack()
    const streams = await startStreams(cleanUp)
    await restart(near, {
      ETCD_ENDPOINTS: '',
      ETCD_LISTEN: NEAR,
      ETCD_LISTEN_CERT: certs.file('server.crt'),
      ETCD_LISTEN_KEY: certs.file('server.key'),
      ETCD_LISTEN_CACERT: certs.file('ca.crt'),
    })
    const url = `https://${NEAR}:2379`
    const ca = ['--cacert', certs.file('ca.crt')]
    const own = ['--cert', certs.file('client.crt'), '--key', certs.file('client.key')]
    assert.equal((await keysAt(far, url, 'subnets/', [...ca, ...own])).length, 2)
    const brief = argv`--dial-timeout 1s --command-timeout 1s`
    await assert.rejects(keysAt(far, url, 'subnets/', [...ca, ...brief]))
    await assert.rejects(keysAt(far, `http://${NEAR}:2379`, 'subnets/', brief))
    await restart(far, {
      ETCD_ENDPOINTS: url,
      ETCD_CACERT: certs.file('ca.crt'),
      ETCD_CERT: certs.file('client.crt'),
      ETCD_KEY: certs.file('client.key'),
    })
    await createForm(far, 'routed')
    assert.equal((await keysAt(near, OWN, 'subnets/')).length, 3)
    await far.docker('network', 'rm', 'routed')
    await finish(streams, t)
  })

  inLab('moves into another etcd by a snapshot, under traffic', async (t) => {
    await using cleanUp = new AsyncDisposableStack()
    const streams = await startStreams(cleanUp)
    const { machine } = lab.etcd
    const snapshot = machine.path('snapshot.db')
    await etcdctl(near, OWN, 'snapshot', 'save', snapshot)
    await lab.etcd.kill()
    rmSync(machine.path('data'), { recursive: true })
    await machine.exec(argv`env ETCDCTL_API=3 etcdctl snapshot restore ${snapshot}
      --data-dir ${machine.path('data')} --name lab --initial-cluster lab=http://127.0.0.1:2380
      --initial-advertise-peer-urls http://127.0.0.1:2380`)
    await lab.etcd.start()
    await restart(far, { ETCD_ENDPOINTS: GIVEN })
    // One host here and one there: each still has the other's subnets, so both ways stay.
    await bothReach()
    const between = await NumberedStream.start('udp', a, b, { ip: await b.ip('web'), port: 9003 })
    cleanUp.use(between)
    for (const stream of [...streams, between]) await stream.flows()
    await restart(near, { ETCD_ENDPOINTS: GIVEN })
    assert.deepEqual(await etcdsOf(near), [])
    await moved(GIVEN)
    await finish(streams, t)
  })

  inLab('and its keys move into a cluster that others use, by a copy of the prefix', async (t) => {
    await using cleanUp = new AsyncDisposableStack()
    const streams = await startStreams(cleanUp)
    const { machine } = lab.etcd
    const another = new Daemon(machine, 'another-etcd')
    await another.start({
      argv: argv`etcd --name another --data-dir ${machine.path('another')}
        --listen-client-urls ${ANOTHER} --advertise-client-urls ${ANOTHER}
        --listen-peer-urls http://127.0.0.1:2480 --initial-advertise-peer-urls http://127.0.0.1:2480
        --initial-cluster another=http://127.0.0.1:2480 --log-level warn --logger zap`,
      ready: async () => (await etcdctl(far, ANOTHER, 'put', '/others/key', 'kept')) !== '',
    })
    // It goes on copying until it is ended.
    const copy = `export ETCDCTL_API=3
      etcdctl --endpoints ${GIVEN} make-mirror --prefix /overlay-ts/ ${ANOTHER} >/dev/null &
      keys() { etcdctl --endpoints $1 get --prefix /overlay-ts/ --keys-only; }
      until test "$(keys ${GIVEN})" = "$(keys ${ANOTHER})"; do :; done
      kill $!`
    await machine.exec(['sh', '-c', copy])
    const copied = await keysAt(far, ANOTHER, 'subnets/')
    assert.deepEqual(
      copied.map(({ hasLease }) => hasLease),
      [false, false],
    )
    await restart(far, { ETCD_ENDPOINTS: ANOTHER })
    for (const stream of streams) await stream.flows()
    await restart(near, { ETCD_ENDPOINTS: ANOTHER })
    await moved(ANOTHER)
    assert.match(await etcdctl(far, ANOTHER, 'get', '/others/key'), /kept/)
    await finish(streams, t)
  })

  /** Both hosts have written their part at the URL, and new containers there reach those that run. */
  async function moved(url: string): Promise<void> {
    await eventually(
      async () => {
        const subnets = await keysAt(far, url, 'subnets/')
        assert.equal(subnets.length, 2)
        assert.ok(subnets.every(({ hasLease }) => hasLease))
        assert.equal((await keysAt(far, url, 'hosts/')).length, 2)
        assert.equal((await keysAt(far, url, 'endpoints/')).length, 2)
      },
      { what: 'both hosts to have written their part', timeout: 60_000 },
    )
    assert.deepEqual([await a.ip('web'), await b.ip('web')], addresses)
    await bothReach()
    const fresh = await near.run('fresh', { network: 'web' })
    await assertReaches(b, [await fresh.ip('web')], await b.ip('web'))
    await fresh.remove()
    await createForm(far, 'routed')
    await far.docker('network', 'rm', 'routed')
  }

  async function bothReach(): Promise<void> {
    await assertReaches(a, [await b.ip('web')], await a.ip('web'))
    await assertReaches(b, [await a.ip('web')], await b.ip('web'))
  }

  async function startStreams(cleanUp: AsyncDisposableStack): Promise<NumberedStream[]> {
    const ip = await b.ip('web')
    const streams = [
      await NumberedStream.start('tcp', a, b, { ip, port: 9001 }),
      await NumberedStream.start('udp', a, b, { ip, port: 9002 }),
    ]
    for (const stream of streams) cleanUp.use(stream)
    return streams
  }

  async function finish(streams: readonly NumberedStream[], t: TestContext): Promise<void> {
    for (const stream of streams) await stream.flows()
    for (const stream of streams) {
      const { sent, received, longestGapMs } = await stream.finish()
      t.diagnostic(`${received} of ${sent} numbers arrived, none for at most ${longestGapMs} ms`)
      assert.ok(longestGapMs < RESTART_GAP_MS, `silent for ${longestGapMs} ms`)
    }
  }
})

/** Makes a network while an etcd is being started: a refusal comes only after the time for which a call waits. */
async function createWaiting(host: DockerHost, form: NetworkForm): Promise<void> {
  const begun = performance.now()
  try {
    await createForm(host, form)
  } catch (error) {
    assert.ok(performance.now() - begun >= START_PATIENCE_MS, messageOf(error))
    await ready(host)
    await createForm(host, form)
  }
}

async function restart(host: DockerHost, env: Readonly<Record<string, string>>): Promise<void> {
  await host.stopPlugin()
  assert.deepEqual(await etcdsOf(host), [])
  await host.startPlugin({ env })
  await ready(host)
}

async function ready(host: DockerHost): Promise<void> {
  await eventually(
    async () => {
      const { store, failure } = await pluginState(host)
      assert.deepEqual([store.state, failure], ['up', null])
      assert.match(await host.admin('/readyz'), /^ok/)
    },
    { what: `the plugin of ${host.name} to be ready with its etcd`, timeout: 60_000 },
  )
}

const beginOf = ({ host, name }: Container): Promise<string> =>
  host.docker('inspect', '-f', '{{.State.StartedAt}} {{.RestartCount}}', name)

/** The numbers, on the host, of the etcd processes there. */
async function etcdsOf(host: DockerHost): Promise<string[]> {
  // Without one pgrep exits 1.
  const pids = await host.exec('sh', '-c', 'pgrep -x etcd || true')
  return pids.split('\n').filter(Boolean)
}

function etcdctl(host: DockerHost, url: string, ...words: string[]): Promise<string> {
  return host.exec('env', 'ETCDCTL_API=3', 'etcdctl', `--endpoints=${url}`, ...words)
}

async function keysAt(
  host: DockerHost,
  url: string,
  under: string,
  words: readonly string[] = [],
): Promise<Key[]> {
  const prefix = `/overlay-ts/${under}`
  const text = await etcdctl(host, url, ...words, ...argv`get --prefix ${prefix} -w json`)
  const { kvs = [] } = JSON.parse(text) as { kvs?: { key: string; lease?: number }[] }
  return kvs.map(({ key, lease = 0 }) => ({
    key: Buffer.from(key, 'base64').toString(),
    hasLease: lease !== 0,
  }))
}
