import assert from 'node:assert/strict'
import { test } from 'node:test'
import { OverlayError } from '../../src/errors.ts'
import { formatCidr, overlaps, parseCidr, prefixOf, sizeOf } from '../../src/net/cidr.ts'
import { parseCidr6 } from '../../src/net/cidr6.ts'
import { allocate, type Decision } from '../../src/store/allocate.ts'
import type { ClusterView } from '../../src/store/cluster-view.ts'
import { createKeyspace, type Keyspace } from '../../src/store/keyspace.ts'
import { parseView } from '../../src/store/parse-view.ts'
import { encodeOverlay, encodeSubnet } from '../../src/store/records.ts'
import type { Operation, Store } from '../../src/store/store.ts'
import { leaseValue } from '../unit/store/view-support.ts'
import { waitFor } from '../support/wait.ts'
import { freshPrefix, subjects } from './stores.ts'
import { Watched } from './watched.ts'

const NETWORK = parseCidr('10.32.0.0/16')

/** The first free subnet of that length, and the overlay with the first free VNI if it is new. */
function decideFirst(
  keyspace: Keyspace,
  view: ClusterView,
  host: string,
  name: string,
  length: number,
): Decision<string> {
  const taken = [...view.subnets.values()].map(({ subnet }) => subnet)
  let subnet = prefixOf(NETWORK.base, length)
  while (taken.some((other) => overlaps(other, subnet))) {
    subnet = prefixOf(subnet.base + sizeOf(subnet), length)
  }
  const overlay = view.overlays.get(name)
  const vni = overlay?.vni ?? 4096 + view.overlays.size
  const lease = leaseValue({ hostId: host, overlay: name, vni, kind: 'routed', pool: null })
  const operations: Operation[] = [{ put: keyspace.subnet(subnet), value: encodeSubnet(lease) }]
  if (!overlay) {
    const value = encodeOverlay({ vni, pool: null, subnetLength: null, pool6: null })
    operations.push({ put: keyspace.overlay(name), value })
  }
  return { operations, result: formatCidr(subnet) }
}

/** A store whose commits are made but answered with an outage, as many times as told. */
function withLostAnswers(store: Store, times: number): Store {
  let left = times
  return {
    range: (prefix) => store.range(prefix),
    grant: (seconds) => store.grant(seconds),
    revoke: (lease) => store.revoke(lease),
    watch: (prefix, after, handlers) => store.watch(prefix, after, handlers),
    close: () => store.close(),
    commit: async (compares, operations) => {
      const result = await store.commit(compares, operations)
      if (left-- > 0) throw new OverlayError('store_unavailable', 'the answer was lost')
      return result
    },
  }
}

for (const subject of subjects()) {
  test(`${subject.name}: hosts that allocate at once never get overlapping subnets or one VNI twice`, async () => {
    const { store } = subject
    const keyspace = createKeyspace(freshPrefix())
    const jobs = Array.from({ length: 8 }, (_, index) => {
      const length = [22, 24, 26, 28][index % 4]!
      const name = index < 4 ? 'web' : 'app'
      return allocate(store, keyspace, (view) =>
        decideFirst(keyspace, view, `host-${index}`, name, length),
      )
    })
    const got = (await Promise.all(jobs)).map(parseCidr)

    const view = parseView(keyspace, await store.range(keyspace.root))
    assert.deepEqual(view.problems, [])
    assert.equal(view.subnets.size, 8)
    assert.deepEqual(new Set(got.map(formatCidr)), new Set(view.subnets.keys()))
    const pairs = got.flatMap((a, i) => got.slice(i + 1).map((b) => [a, b] as const))
    assert.deepEqual(
      pairs.filter(([a, b]) => overlaps(a, b)),
      [],
    )
    const vnis = [...view.overlays.values()].map(({ vni }) => vni)
    assert.deepEqual(
      vnis.toSorted((a, b) => a - b),
      [4096, 4097],
    )
    for (const lease of view.subnets.values()) {
      assert.equal(lease.vni, view.overlays.get(lease.overlay ?? '')?.vni)
    }
  })

  test(`${subject.name}: a lease that gets its IPv6 subnet is never seen twice, nor missed`, async () => {
    const { store } = subject
    const keyspace = createKeyspace(freshPrefix())
    const subnet = parseCidr('10.32.5.0/24')
    const ipv6 = { subnet: parseCidr6('fd00:32:0:5::/64'), pool: null }
    const lease = leaseValue({ kind: 'routed', pool: null })
    const [plain, both] = [keyspace.subnet(subnet), keyspace.subnet(subnet, ipv6.subnet)]
    await store.commit([], [{ put: plain, value: encodeSubnet(lease) }])
    const { revision } = await store.range(keyspace.root)
    const watched = new Watched(store, keyspace.root, revision)
    try {
      await allocate(store, keyspace, () => ({
        operations: [{ delete: plain }, { put: both, value: encodeSubnet({ ...lease, ipv6 }) }],
        result: null,
      }))
      const { subnets, problems } = parseView(keyspace, await store.range(keyspace.root))
      assert.deepEqual(problems, [])
      assert.deepEqual(
        [...subnets.values()].map((each) => each.ipv6),
        [ipv6],
      )
      await waitFor(() => watched.changes.length === 3, { what: 'all changes' })
      assert.equal(new Set(watched.revisions).size, 1)
    } finally {
      await watched.stop()
    }
  })

  test(`${subject.name}: a decision without operations writes nothing`, async () => {
    const { store } = subject
    const keyspace = createKeyspace(freshPrefix())
    const result = await allocate(store, keyspace, () => ({ operations: [], result: 'as it is' }))
    assert.equal(result, 'as it is')
    assert.equal((await store.range(keyspace.root)).entries.size, 0)
  })

  test(`${subject.name}: what a decision throws is thrown`, async () => {
    const { store } = subject
    const failing = allocate(store, createKeyspace(freshPrefix()), () => {
      throw new OverlayError('exhausted', 'nothing is free')
    })
    await assert.rejects(failing, { code: 'exhausted' })
  })

  test(`${subject.name}: a commit whose answer was lost is found and not made twice`, async () => {
    const keyspace = createKeyspace(freshPrefix())
    const store = withLostAnswers(subject.store, 1)
    const subnet = await allocate(store, keyspace, (view) =>
      decideFirst(keyspace, view, 'host-a', 'web', 24),
    )
    const view = parseView(keyspace, await store.range(keyspace.root))
    assert.deepEqual([...view.subnets.keys()], [subnet])
  })

  test(`${subject.name}: a key that somebody else writes without the allocator is not overwritten`, async () => {
    const { store } = subject
    const keyspace = createKeyspace(freshPrefix())
    const theirs = encodeSubnet(leaseValue({ hostId: null }))
    const key = keyspace.subnet(parseCidr('10.32.0.0/24'))
    let tries = 0
    const decide = (view: ClusterView) => decideFirst(keyspace, view, 'host-a', 'web', 24)
    const interfering: Store = {
      ...withLostAnswers(store, 0),
      commit: async (compares, operations) => {
        if (tries++ === 0) await store.commit([], [{ put: key, value: theirs }])
        return store.commit(compares, operations)
      },
    }
    assert.equal(await allocate(interfering, keyspace, decide), '10.32.1.0/24')
    assert.equal((await store.range(key)).entries.get(key)?.value, theirs)
  })

  test(`${subject.name}: races lost for five seconds end in a conflict that counts the tries`, async () => {
    const { store } = subject
    const keyspace = createKeyspace(freshPrefix())
    const losing: Store = {
      ...withLostAnswers(store, 0),
      commit: async () => ({ succeeded: false, revision: '1' }),
    }
    const job = allocate(losing, keyspace, (view) =>
      decideFirst(keyspace, view, 'host-a', 'web', 24),
    )
    await assert.rejects(job, { code: 'conflict', message: /in each of \d+ tries/ })
  })
}
