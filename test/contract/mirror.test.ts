import assert from 'node:assert/strict'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test, type TestContext } from 'node:test'
import { createLog } from '../../src/log.ts'
import { parseCidr } from '../../src/net/cidr.ts'
import { EtcdStore } from '../../src/store/etcd.ts'
import { createKeyspace } from '../../src/store/keyspace.ts'
import { MemoryStore } from '../../src/store/memory.ts'
import { ClusterMirror, type MirrorOptions } from '../../src/store/mirror.ts'
import { encodeSubnet } from '../../src/store/records.ts'
import type { Store } from '../../src/store/store.ts'
import { EtcdServer } from '../support/etcd-server.ts'
import { eventually, waitFor } from '../support/wait.ts'
import { leaseValue } from '../unit/store/view-support.ts'

/** A guard against a hang. */
const READY_MS = 30_000

const keyspace = createKeyspace('/overlay-ts')
const log = createLog('silent')
const docker = (mtu = 1450): string => encodeSubnet(leaseValue({ kind: 'docker', pool: null, mtu }))
const keyOf = (subnet: string): string => keyspace.subnet(parseCidr(subnet))
const put = (store: Store, subnet: string, value = docker()) =>
  store.commit([], [{ put: keyOf(subnet), value }])
const subnetsOf = (mirror: ClusterMirror): string[] => [...mirror.view().subnets.keys()].sort()

function startMirror(
  t: TestContext,
  store: Store,
  options: Partial<MirrorOptions> = {},
): ClusterMirror {
  const mirror = new ClusterMirror({ store, keyspace, log, ...options })
  t.after(() => mirror.stop())
  mirror.start()
  return mirror
}

async function startEtcd(t: TestContext): Promise<{ etcd: EtcdServer; store: EtcdStore }> {
  const etcd = await EtcdServer.start()
  t.after(() => etcd[Symbol.asyncDispose]())
  const store = new EtcdStore({ endpoints: etcd.endpoints })
  t.after(() => store.close())
  return { etcd, store }
}

/** Waits until the store has noticed that etcd is back: in a known outage a call is tried once. */
async function answering(store: Store): Promise<void> {
  await waitFor(() => store.range('/'), { what: 'etcd to answer again' })
}

const folders: string[] = []
// After all tests: a mirror that stops writes its file once more.
after(() => Promise.all(folders.map((each) => rm(each, { recursive: true, force: true }))))

async function tempFile(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'ovt-mirror-'))
  folders.push(folder)
  return join(folder, 'map', 'snapshot.json')
}

test('the mirror has what the store had and follows what it gets', async (t) => {
  const store = new MemoryStore()
  await put(store, '10.32.5.0/24')
  const mirror = startMirror(t, store)
  assert.equal(mirror.status().state, 'connecting')
  assert.deepEqual(subnetsOf(mirror), [])
  assert.equal(await mirror.ready(READY_MS), true)
  assert.deepEqual(subnetsOf(mirror), ['10.32.5.0/24'])
  assert.equal(mirror.status().state, 'up')

  await put(store, '10.32.6.0/24')
  await store.commit([], [{ delete: keyOf('10.32.5.0/24') }])
  await waitFor(() => subnetsOf(mirror).join() === '10.32.6.0/24', { what: 'both changes' })
})

test('a view is made once for each revision', async (t) => {
  const store = new MemoryStore()
  const mirror = startMirror(t, store)
  await mirror.ready(READY_MS)
  const view = mirror.view()
  assert.equal(mirror.view(), view)
  await put(store, '10.32.5.0/24')
  await waitFor(() => mirror.view() !== view, { what: 'a new view' })
})

test('after a refresh the view has what was just committed', async (t) => {
  const { store } = await startEtcd(t)
  const mirror = startMirror(t, store)
  await mirror.ready(READY_MS)
  for (let i = 0; i < 50; i++) {
    const { revision } = await put(store, `10.32.${i}.0/24`)
    await mirror.refresh()
    assert.equal(mirror.view().subnets.get(`10.32.${i}.0/24`)?.modRevision, revision)
  }
})

test('listeners hear of values, not of renewals, and one that throws hurts no other', async (t) => {
  const store = new MemoryStore()
  await put(store, '10.32.5.0/24')
  const mirror = startMirror(t, store)
  await mirror.ready(READY_MS)
  let heard = 0
  mirror.onChange(() => {
    throw new Error('a bad listener')
  })
  const silence = mirror.onChange(() => (heard += 1))
  await waitFor(() => heard === 1, { what: 'the first map' })

  const renewed = await put(store, '10.32.5.0/24')
  const modRevision = () => mirror.view().subnets.get('10.32.5.0/24')?.modRevision
  await waitFor(() => modRevision() === renewed.revision, { what: 'the renewal' })
  await put(store, '10.32.5.0/24', docker(1400))
  await waitFor(() => heard === 2, { what: 'the changed value' })
  silence()
  await put(store, '10.32.6.0/24')
  await waitFor(() => mirror.view().subnets.size === 2, { what: 'the next subnet' })
  assert.equal(heard, 2)
})

test('wrong keys are counted once, and again only after they were mended', async (t) => {
  const store = new MemoryStore()
  await store.commit([], [{ put: keyOf('10.32.5.0/24'), value: '{' }])
  const mirror = startMirror(t, store)
  await waitFor(() => mirror.problemTotal === 1, { what: 'the problem' })
  await put(store, '10.32.6.0/24')
  await waitFor(() => mirror.view().subnets.size === 1, { what: 'another key' })
  await put(store, '10.32.5.0/24')
  await waitFor(() => mirror.view().problems.length === 0, { what: 'the mending' })
  await store.commit([], [{ put: keyOf('10.32.5.0/24'), value: '{' }])
  await waitFor(() => mirror.problemTotal === 2, { what: 'the problem again' })
})

test('changes made while etcd was killed and started again are found', async (t) => {
  const { etcd, store } = await startEtcd(t)
  await put(store, '10.32.5.0/24')
  const mirror = startMirror(t, store)
  await mirror.ready(READY_MS)
  await etcd.kill()
  await waitFor(() => mirror.status().state === 'down', { what: 'the outage to be noticed' })
  // The first call may have met an end of its own: a connection that broke, or its time.
  const refused = /has not answered since .*ECONNREFUSED/
  await waitFor(() => refused.test(mirror.status().lastError ?? ''), { what: 'the refusal' })
  assert.deepEqual(subnetsOf(mirror), ['10.32.5.0/24'])

  await etcd.restart()
  await answering(store)
  await put(store, '10.32.6.0/24')
  await etcd.ctl('del', keyOf('10.32.5.0/24'))
  await eventually(() => assert.deepEqual(subnetsOf(mirror), ['10.32.6.0/24']), {
    what: 'the mirror to catch up',
  })
  assert.equal(mirror.status().state, 'up')
  await put(store, '10.32.7.0/24')
  await waitFor(() => mirror.view().subnets.size === 2, { what: 'the watch to be alive' })
})

test('an etcd that comes back empty is believed', async (t) => {
  const { etcd, store } = await startEtcd(t)
  for (const third of [5, 6, 7]) await put(store, `10.32.${third}.0/24`)
  const mirror = startMirror(t, store)
  await mirror.ready(READY_MS)
  await etcd.wipe()
  await etcd.restart()
  await answering(store)
  await put(store, '10.32.9.0/24')
  await eventually(() => assert.deepEqual(subnetsOf(mirror), ['10.32.9.0/24']), {
    what: 'the mirror to follow the new cluster',
  })
})

test('a watch that falls behind a compaction is repaired by value', async (t) => {
  const { etcd, store } = await startEtcd(t)
  await put(store, '10.32.5.0/24')
  await put(store, '10.32.6.0/24')
  let hold = false
  const slow: Store = {
    range: (prefix) => store.range(prefix),
    commit: (compares, operations) => store.commit(compares, operations),
    grant: (seconds) => store.grant(seconds),
    revoke: (lease) => store.revoke(lease),
    close: () => store.close(),
    // A watch that begins in the past, as after a long outage.
    watch: (prefix, after, handlers) => store.watch(prefix, hold ? '1' : after, handlers),
  }
  const mirror = startMirror(t, slow)
  await mirror.ready(READY_MS)
  const before = mirror.view().subnets.get('10.32.5.0/24')
  let heard = 0
  await waitFor(() => mirror.view().subnets.size === 2, { what: 'both subnets' })
  mirror.onChange(() => (heard += 1))

  hold = true
  await etcd.compact()
  await etcd.kill()
  await etcd.restart()
  await answering(store)
  await put(store, '10.32.6.0/24', docker(1400))
  await waitFor(() => mirror.view().subnets.get('10.32.6.0/24')?.mtu === 1400, {
    what: 'the changed value to be found without a watch',
  })
  hold = false
  await put(store, '10.32.7.0/24')
  await waitFor(() => mirror.view().subnets.size === 3, { what: 'the watch to be alive again' })
  assert.equal(mirror.view().subnets.get('10.32.5.0/24'), before)
  assert.ok(heard >= 2)
})

test('a silent watch is repaired by the periodic read', async (t) => {
  const store = new MemoryStore()
  const deaf: Store = {
    range: (prefix) => store.range(prefix),
    commit: (compares, operations) => store.commit(compares, operations),
    grant: (seconds) => store.grant(seconds),
    revoke: (lease) => store.revoke(lease),
    close: () => store.close(),
    watch: () => ({ stop: async () => {} }),
  }
  const mirror = startMirror(t, deaf, { rereadMs: 50 })
  await mirror.ready(READY_MS)
  await put(store, '10.32.5.0/24')
  await waitFor(() => mirror.view().subnets.size === 1, { what: 'the periodic read' })
})

test('a start during an outage has the map that was saved', async (t) => {
  const snapshotFile = await tempFile()
  const { etcd, store } = await startEtcd(t)
  await put(store, '10.32.5.0/24')
  const first = startMirror(t, store, { snapshotFile })
  await first.ready(READY_MS)
  await put(store, '10.32.6.0/24')
  await waitFor(() => first.view().subnets.size === 2, { what: 'the second subnet' })
  await first.stop()
  await etcd.kill()

  const other = new EtcdStore({ endpoints: etcd.endpoints })
  t.after(() => other.close())
  const second = startMirror(t, other, { snapshotFile })
  let heard = 0
  second.onChange(() => (heard += 1))
  await waitFor(() => second.status().mapFrom === 'file', { what: 'the saved map' })
  assert.deepEqual(subnetsOf(second), ['10.32.5.0/24', '10.32.6.0/24'])
  await waitFor(() => heard === 1, { what: 'the listener' })
  assert.equal(await second.ready(0), false)

  await etcd.restart()
  await etcd.ctl('del', keyOf('10.32.5.0/24'))
  await eventually(() => assert.deepEqual(subnetsOf(second), ['10.32.6.0/24']), {
    what: "the store's own map",
  })
  assert.equal(second.status().mapFrom, 'store')
})

test('a saved map that is broken, or of another prefix, is not used', async (t) => {
  const snapshotFile = await tempFile()
  const store = new MemoryStore()
  const first = startMirror(t, store, { snapshotFile })
  await put(store, '10.32.5.0/24')
  await waitFor(() => first.view().subnets.size === 1, { what: 'the subnet' })
  await first.stop()
  const saved = await readFile(snapshotFile, 'utf8')

  store.setAvailable(false)
  for (const text of ['', saved.slice(0, -3), saved.replace('/overlay-ts"', '/other"')]) {
    await writeFile(snapshotFile, text)
    const mirror = startMirror(t, store, { snapshotFile })
    assert.equal(await mirror.ready(1000), false)
    assert.equal(mirror.status().mapFrom, 'nothing')
    await mirror.stop()
  }
  await writeFile(snapshotFile, saved)
  const mirror = startMirror(t, store, { snapshotFile })
  await waitFor(() => mirror.status().mapFrom === 'file', { what: 'the map as it was saved' })
})

test('stopping does not wait for a store that is silent', async (t) => {
  const silent: Store = {
    range: () => new Promise(() => {}),
    commit: () => new Promise(() => {}),
    grant: () => new Promise(() => {}),
    revoke: () => new Promise(() => {}),
    close: async () => {},
    watch: () => ({ stop: async () => {} }),
  }
  const mirror = startMirror(t, silent)
  assert.equal(await mirror.ready(20), false)
  await mirror.stop()
})
