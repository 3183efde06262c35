import assert from 'node:assert/strict'
import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmod, mkdtemp, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { promisify } from 'node:util'
import { pino } from 'pino'
import type { Log } from '../../../src/log.ts'
import { EmbeddedEtcd, type EmbeddedEtcdOptions } from '../../../src/store/embedded-etcd.ts'
import { etcdFlags } from '../../../src/store/etcd-flags.ts'
import { healthOf } from '../../../src/store/etcd-process.ts'
import { EtcdStore } from '../../../src/store/etcd.ts'
import { GatedStore } from '../../../src/store/gated-store.ts'
import { Certificates } from '../../support/certificates.ts'
import { endProgram } from '../../support/end-program.ts'
import { reservedPort } from '../../support/reserved-port.ts'
import { eventually, waitFor } from '../../support/wait.ts'

const START_MS = 60_000
/** What etcd says of a machine whose processors or disk have other work. */
const SLOW = /^warn etcd: .*(took too long|slow|on time|sync duration)/

interface Place extends EmbeddedEtcdOptions {
  /** Everything logged at info or above, a line each: "error the text". */
  readonly said: readonly string[]
  /** What is ended before the folder goes. */
  readonly begun: EmbeddedEtcd[]
}

async function place(t: TestContext): Promise<Place> {
  const dataDir = await mkdtemp(join(tmpdir(), 'ovt-embedded-'))
  const begun: EmbeddedEtcd[] = []
  t.after(async () => {
    for (const etcd of begun) await etcd.stop()
    await rm(dataDir, { recursive: true, force: true })
  })
  const port = await reservedPort()
  const said: string[] = []
  const log: Log = pino(
    { level: 'info' },
    {
      write(line: string) {
        const { level, msg } = JSON.parse(line) as { level: number; msg: string }
        said.push(`${pino.levels.labels[level]} ${msg}`)
      },
    },
  )
  return { dataDir, port, others: null, log, said, begun }
}

/** Starts it and waits until it runs; it ends with the test. */
async function begin(options: Place): Promise<EmbeddedEtcd> {
  const etcd = new EmbeddedEtcd(options)
  options.begun.push(etcd)
  etcd.start()
  assert.equal(await etcd.trouble(START_MS), null)
  return etcd
}

/** Starts it and waits until it is clear why it does not run. */
async function fail(options: Place): Promise<string> {
  const etcd = new EmbeddedEtcd(options)
  options.begun.push(etcd)
  etcd.start()
  const trouble = (): Promise<string | null> => etcd.trouble(START_MS)
  return waitFor(async () => ((await trouble()) === null ? 'nothing' : await trouble()), {
    what: 'the reason',
    timeout: START_MS,
  })
}

function storeOf(t: TestContext, etcd: EmbeddedEtcd): GatedStore {
  const store = new GatedStore(new EtcdStore({ endpoints: [etcd.endpoint] }), etcd)
  t.after(() => store.close())
  return store
}

/** Gone, or a zombie that its parent has yet to collect. */
async function isGone(pid: number | null): Promise<boolean> {
  return (await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')) === ''
}

test('the embedded etcd keeps its keys over a stop and a start, in folders of its own', async (t) => {
  const options = await place(t)
  const first = await begin(options)
  await storeOf(t, first).commit([], [{ put: '/x/a', value: '1' }])
  await first.stop()
  await chmod(join(options.dataDir, 'data'), 0o755)

  const second = await begin(options)
  assert.equal((await storeOf(t, second).range('/x/')).entries.get('/x/a')?.value, '1')
  assert.equal((await stat(join(options.dataDir, 'data'))).mode & 0o777, 0o700)
  await second.stop()
  assert.deepEqual(await readdir(options.dataDir), ['data'])
  assert.deepEqual(
    options.said.filter((line) => !line.startsWith('info ') && !SLOW.test(line)),
    [],
  )
})

test('an etcd whose parent is killed dies with it, and its keys are there again', async (t) => {
  const options = await place(t)
  const source = (path: string): string => import.meta.resolve(`../../../src/${path}`)
  const program = `
    const { EmbeddedEtcd } = await import('${source('store/embedded-etcd.ts')}')
    const { EtcdStore } = await import('${source('store/etcd.ts')}')
    const { createLog } = await import('${source('log.ts')}')
    const log = createLog('silent')
    const etcd = new EmbeddedEtcd({ dataDir: '${options.dataDir}', port: ${options.port}, others: null, log })
    etcd.start()
    await etcd.trouble(${START_MS})
    await new EtcdStore({ endpoints: [etcd.endpoint] }).commit([], [{ put: '/x/a', value: '1' }])
    console.log(etcd.pid)
    process.kill(process.pid, 'SIGKILL')`
  const parent = spawn(process.execPath, ['--input-type=module', '-e', program], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const [printed] = (await once(parent.stdout, 'data')) as [Buffer]
  const pid = Number(printed.toString())
  assert.ok(pid > 0)
  await waitFor(() => isGone(pid), { what: 'etcd to be gone' })

  const etcd = await begin(options)
  assert.equal((await storeOf(t, etcd).range('/x/')).entries.get('/x/a')?.value, '1')
})

test('one that is left over on the same data is ended first', async (t) => {
  const options = await place(t)
  const { port } = await place(t)
  const flags = etcdFlags({ ...options, port, quotaBytes: 2 ** 30 })
  const leftover = spawn('etcd', flags, { stdio: 'ignore' })
  t.after(() => endProgram(leftover))
  await waitFor(async () => (await healthOf(`http://127.0.0.1:${port}`, 1000)) === 'well', {
    what: 'the leftover to work',
  })
  await writeFile(join(options.dataDir, 'etcd.pid'), String(leftover.pid))

  await begin(options)
  assert.equal(leftover.signalCode, 'SIGKILL')
})

test('one that is killed, or hangs, is started again and said to be', async (t) => {
  const options = await place(t)
  const etcd = await begin({ ...options, lookMs: 1000 })
  const store = storeOf(t, etcd)
  await store.commit([], [{ put: '/x/a', value: '1' }])

  for (const signal of ['SIGKILL', 'SIGSTOP'] as const) {
    const before = etcd.pid!
    process.kill(before, signal)
    await waitFor(() => etcd.pid !== null && etcd.pid !== before, {
      what: `another etcd after ${signal}`,
      timeout: START_MS,
    })
    assert.ok(await isGone(before))
    // A call waits three seconds for a start, which may take longer on a busy machine.
    assert.equal(await etcd.trouble(START_MS), null)
    assert.equal((await store.range('/x/')).entries.get('/x/a')?.value, '1')
  }
  const errors = options.said.filter((line) => line.startsWith('error ')).join('\n')
  assert.match(errors, /own etcd does not run: it ended \(SIGKILL\)/)
  assert.match(errors, /own etcd does not run: it did not answer for \d+ s and was ended/)
})

test('a hung one does not keep the program from ending', async (t) => {
  const etcd = await begin(await place(t))
  const pid = etcd.pid!
  process.kill(pid, 'SIGSTOP')
  await etcd.stop()
  assert.ok(await isGone(pid))
})

test('a missing program, and one too old, are named with what to install', async (t) => {
  const options = await place(t)
  assert.match(
    await fail({ ...options, program: 'etcd-that-is-not-there' }),
    /etcd-that-is-not-there cannot be started .*apt-get install etcd-server.*ETCD_ENDPOINTS/,
  )
  const old = join(options.dataDir, 'old-etcd')
  await writeFile(old, '#!/bin/sh\necho "etcd Version: 3.3.25"\n', { mode: 0o755 })
  assert.match(await fail({ ...options, program: old }), /"3\.3\.25": install etcd 3\.4 or newer/)
})

test('what has the port is not used, and is named with the settings that help', async (t) => {
  const options = await place(t)
  const theirs = await begin(options)
  const mine = await place(t)
  const etcd = new EmbeddedEtcd({ ...mine, port: options.port })
  mine.begun.push(etcd)
  etcd.start()
  const refused = storeOf(t, etcd).commit([], [{ put: '/x/a', value: '1' }])
  await assert.rejects(refused, {
    code: 'store_unavailable',
    message: /another etcd answers at .*set ETCD_ENDPOINTS=http.*ETCD_LISTEN=127\.0\.0\.1:\d+/,
  })
  assert.equal((await storeOf(t, theirs).range('/x/')).entries.size, 0)

  // As soon as the port is free it is taken.
  await theirs.stop()
  await eventually(async () => assert.equal(await etcd.trouble(0), null), {
    what: 'the etcd to run',
    timeout: START_MS,
  })
  const taken = await place(t)
  const other = createServer().listen(taken.port, '127.0.0.1')
  t.after(() => other.close())
  await once(other, 'listening')
  assert.match(await fail(taken), /taken by another program/)
  const others = { ip: '203.0.113.77', tls: null }
  assert.match(await fail({ ...(await place(t)), others }), /no address 203\.0\.113\.77/)
})

test('damaged data are said to be so, with what to do', async (t) => {
  const options = await place(t)
  const etcd = await begin(options)
  await storeOf(t, etcd).commit([], [{ put: '/x/a', value: '1' }])
  await etcd.stop()
  const db = join(options.dataDir, 'data', 'member', 'snap', 'db')
  await writeFile(db, 'garbage')
  const said = await fail(options)
  assert.match(said, /seem damaged: move .*\/data away .*snapshot.*docs\/etcd\.md/)
  assert.match(said, /invalid database/)
  const told = options.said.filter((line) => line.includes('seem damaged'))
  assert.equal(told.length, 1, 'it is told once, however often it is tried')
})

test('a snapshot that was restored in place of the data is what it starts with', async (t) => {
  const options = await place(t)
  const data = join(options.dataDir, 'data')
  const snapshot = join(options.dataDir, 'overlay-ts.db')
  const etcdctl = (words: string): Promise<unknown> =>
    promisify(execFile)('etcdctl', words.split(' '), { env: { ...process.env, ETCDCTL_API: '3' } })
  const first = await begin(options)
  const store = storeOf(t, first)
  await store.commit([], [{ put: '/x/a', value: 'before' }])
  await etcdctl(`--endpoints ${first.endpoint} snapshot save ${snapshot}`)
  await store.commit([], [{ put: '/x/a', value: 'after' }])
  await first.stop()

  await rename(data, `${data}.old`)
  await etcdctl(
    `snapshot restore ${snapshot} --data-dir ${data} --name overlay-ts --initial-cluster overlay-ts=http://127.0.0.1:2380 --initial-advertise-peer-urls http://127.0.0.1:2380`,
  )
  const second = await begin(options)
  assert.equal((await storeOf(t, second).range('/x/')).entries.get('/x/a')?.value, 'before')
})

test('a full database is cleaned up by itself if that helps', async (t) => {
  const options = await place(t)
  const etcd = await begin({ ...options, lookMs: 1000, quotaBytes: 8 * 1024 * 1024 })
  const store = storeOf(t, etcd)
  const value = 'x'.repeat(512 * 1024)
  const full = async (): Promise<void> => {
    for (let n = 0; n < 40; n++) await store.commit([], [{ put: '/x/same', value }])
  }
  await assert.rejects(full(), { message: /space exceeded/ })
  await eventually(() => store.commit([], [{ put: '/x/b', value: '1' }]).then(() => undefined), {
    what: 'etcd to take writes again',
    timeout: START_MS,
  })
  assert.match(options.said.join('\n'), /warn etcd's database was full and has been cleaned up/)
  assert.equal((await store.range('/x/')).entries.get('/x/same')?.value.length, value.length)

  // Full of what is in use: nothing to be cleaned up.
  const fill = async (): Promise<void> => {
    for (let n = 0; n < 40; n++) await store.commit([], [{ put: `/y/${n}`, value }])
  }
  await assert.rejects(fill(), { message: /space exceeded/ })
  await eventually(
    () => assert.match(options.said.join('\n'), /error etcd's database is full .*did not help/),
    { what: 'the sentence', timeout: START_MS },
  )
  assert.ok((await store.range('/y/')).entries.size > 0, 'and it still answers')
})

test('other hosts get in with a certificate, and this host without', async (t) => {
  await using certs = await Certificates.create()
  const tls = {
    cert: certs.file('server.crt'),
    key: certs.file('server.key'),
    clientCa: certs.file('ca.crt'),
  }
  const options = await place(t)
  // Another address of this machine in place of one of a network between machines.
  const etcd = await begin({ ...options, others: { ip: '127.0.0.2', tls } })
  await storeOf(t, etcd).commit([], [{ put: '/x/a', value: '1' }])

  const endpoints = [`https://127.0.0.2:${options.port}`]
  const ca = await certs.read('ca.crt')
  const open = (more: { cert?: string; key?: string }): EtcdStore => {
    const store = new EtcdStore({ endpoints, tls: { ca, ...more } })
    t.after(() => store.close())
    return store
  }
  const known = open({ cert: await certs.read('client.crt'), key: await certs.read('client.key') })
  assert.equal((await known.range('/x/')).entries.get('/x/a')?.value, '1')
  await assert.rejects(open({}).range('/x/'), { code: 'store_unavailable' })
  assert.doesNotMatch(options.said.join('\n'), /scheme/)
})

test('the variables of this program, its password among them, do not reach etcd', async (t) => {
  const options = await place(t)
  process.env['ETCD_PASSWORD'] = 'hunter2'
  t.after(() => delete process.env['ETCD_PASSWORD'])
  const etcd = await begin(options)
  const environment = await readFile(`/proc/${etcd.pid}/environ`, 'utf8')
  assert.deepEqual(
    environment.split('\0').filter((each) => each !== '' && !each.startsWith('PATH=')),
    [],
  )
})
