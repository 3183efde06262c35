import assert from 'node:assert/strict'
import { cp, rm } from 'node:fs/promises'
import { test } from 'node:test'
import { encodeEndpoint, encodeHolder, encodeSubnet } from '../../../src/store/records.ts'
import { MemoryStore } from '../../../src/store/memory.ts'
import { parseView } from '../../../src/store/parse-view.ts'
import type { Store } from '../../../src/store/store.ts'
import { eventually } from '../../support/wait.ts'
import { keyspace, leaseValue } from '../store/view-support.ts'
import { ControlHost, keysOf, pooled, routed, writeConfig } from './control-host.ts'
import { endpoint, ME } from './control-support.ts'

const WEB = 'w'.repeat(64)

async function cluster(): Promise<{ store: MemoryStore; host: ControlHost }> {
  const store = new MemoryStore()
  await writeConfig(store)
  return { store, host: await ControlHost.start(store, { number: 96 }) }
}

/** Removes every key at once, as by `etcdctl del --prefix`. */
async function wipe(store: Store): Promise<void> {
  const { entries } = await store.range(keyspace.root)
  await store.commit(
    [],
    [...entries.keys()].map((key) => ({ delete: key })),
  )
}

/** How many writes the work makes in the store. */
async function writesDuring(store: Store, work: () => Promise<unknown>): Promise<number> {
  const before = BigInt((await store.range(keyspace.root)).revision)
  await work()
  return Number(BigInt((await store.range(keyspace.root)).revision) - before)
}

test('a host publishes itself, its bridges, its subnet and its containers, and then nothing more', async () => {
  const { store, host } = await cluster()
  await using _ = host
  const subnet = await host.createNetwork(WEB, pooled('web'))
  const address = subnet.replace('.0/24', '.2')
  await host.journal.endpoints.put('e1', endpoint('e1', WEB, `${address}/17`))
  await host.publisher.run()
  const spelled = subnet.replace('/', '-')
  assert.deepEqual(await keysOf(store), [
    'allocator',
    'config',
    `endpoints/${spelled}/${address}`,
    `holders/${spelled}`,
    `hosts/${host.identity.hostId}`,
    'overlays/web',
    `private/${host.identity.hostId}`,
    `subnets/${spelled}`,
  ])
  assert.equal(await writesDuring(store, () => host.publisher.run()), 0)
})

test('what was removed during an outage is removed after it, however much it is', async () => {
  const { store, host } = await cluster()
  await using _ = host
  const subnet = await host.createNetwork(WEB, pooled('web'))
  for (let n = 2; n < 152; n++) {
    const address = subnet.replace('.0/24', `.${n}`)
    await host.journal.endpoints.put(`e${n}`, endpoint(`e${n}`, WEB, `${address}/17`))
  }
  await host.publisher.run()
  store.setAvailable(false)
  await eventually(() => assert.equal(host.mirror.status().state, 'down'), {
    what: 'the outage to be noticed',
  })
  await host.removeNetwork(WEB)
  for (const { id } of host.journal.endpoints.values()) await host.journal.endpoints.delete(id)
  await host.publisher.attempt()
  assert.equal(host.publisher.isBehind, true)
  store.setAvailable(true)
  await eventually(() => host.publisher.run(), { what: 'the store to be reached again' })
  assert.deepEqual(await keysOf(store), [
    'allocator',
    'config',
    `hosts/${host.identity.hostId}`,
    `private/${host.identity.hostId}`,
  ])
  assert.equal(host.publisher.isBehind, true, 'the failure stands until attempt() succeeds')
  await host.publisher.attempt()
  assert.equal(host.publisher.isBehind, false)
  const told = host.said.filter((line) => /cannot publish|published again/.test(line))
  assert.deepEqual(told, ['warn: cannot publish this host', 'info: this host is published again'])
})

test('a wiped store gets everything back, the overlay under its old identifier', async () => {
  const { store, host } = await cluster()
  await using _ = host
  await host.createNetwork(WEB, pooled('web'))
  await host.createNetwork('r'.repeat(64), routed('app'))
  await host.publisher.run()
  const before = await keysOf(store)
  const vnis = host.journal.subnets.values().map(({ vni }) => vni)
  await wipe(store)
  await writeConfig(store)
  await host.mirror.refresh()
  await host.publisher.run()
  assert.deepEqual(await keysOf(store), before)
  assert.deepEqual(
    host.journal.subnets.values().map(({ vni }) => vni),
    vnis,
  )
})

test('a store that was replaced by an empty one does not know the etcd lease either, and heals', async () => {
  const { store, host } = await cluster()
  await using _ = host
  await host.createNetwork(WEB, pooled('web'))
  await host.publisher.run()
  const before = await keysOf(store)
  const { entries } = await store.range(keyspace.root)
  const leases = new Set([...entries.values()].flatMap(({ lease }) => lease ?? []))
  assert.equal(leases.size, 2)
  for (const lease of leases) await store.revoke(lease)
  await host.mirror.refresh()
  await host.publisher.run()
  assert.deepEqual(await keysOf(store), before)
  await host.createNetwork('r'.repeat(64), routed('app'))
})

test('an overlay whose record vanished is written again by who is in it', async () => {
  const { store, host } = await cluster()
  await using _ = host
  await host.createNetwork(WEB, pooled('web'))
  await host.publisher.run()
  const record = (await store.range(keyspace.overlay('web'))).entries.get(keyspace.overlay('web'))
  await store.commit([], [{ delete: keyspace.overlay('web') }])
  await host.mirror.refresh()
  await host.publisher.run()
  const after = (await store.range(keyspace.overlay('web'))).entries.get(keyspace.overlay('web'))
  assert.equal(after?.value, record?.value)
})

test('an overlay that came back under another identifier renumbers its subnets', async () => {
  const { store, host } = await cluster()
  await using _ = host
  const subnet = await host.createNetwork(WEB, routed('web'))
  const value = '{"VNI":5000,"Pool":null,"SubnetLen":null}'
  await store.commit([], [{ put: keyspace.overlay('web'), value }])
  await host.mirror.refresh()
  await host.publisher.run()
  assert.equal(host.journal.subnets.get(subnet)?.vni, 5000)
  assert.equal(host.mirror.view().subnets.get(subnet)?.vni, 5000)
})

test('seventy networks are written again in transactions that etcd takes', async () => {
  const { store, host } = await cluster()
  await using _ = host
  const sizes: number[] = []
  const commit = store.commit.bind(store)
  store.commit = (compares, operations) => {
    sizes.push(Math.max(compares.length, operations.length))
    return commit(compares, operations)
  }
  for (let n = 0; n < 70; n++) {
    const { subnet } = await host.subnets.lease(routed(`overlay-${n}`), null)
    await host.journal.subnets.update(subnet, (mine) => ({ ...mine, networkId: `n${n}` }))
  }
  const before = await keysOf(store)
  await wipe(store)
  await writeConfig(store)
  await host.mirror.refresh()
  sizes.length = 0
  await host.publisher.run()
  const after = await keysOf(store)
  assert.deepEqual(
    before.filter((key) => !after.includes(key)),
    [],
  )
  assert.ok(Math.max(...sizes) <= 128, `the largest had ${Math.max(...sizes)} operations`)
})

test("another host's lease on our subnet is told once, left alone, and ours again when it is gone", async () => {
  const { store, host } = await cluster()
  await using _ = host
  const subnet = await host.createNetwork(WEB, routed('web'))
  const address = subnet.replace('.0/24', '.2')
  await host.journal.endpoints.put('e1', endpoint('e1', WEB, `${address}/24`))
  await host.publisher.run()
  const view = parseView(keyspace, await store.range(keyspace.root))
  const lease = view.subnets.get(subnet)!
  const theirs = encodeSubnet(leaseValue({ hostId: ME, kind: 'routed', pool: null }))
  const theirEndpoint = keyspace.endpoint(lease.subnet, lease.subnet.base + 9)
  const mac = '02:42:0a:00:00:09'
  await store.commit(
    [],
    [
      { put: lease.key, value: theirs },
      { put: keyspace.holder(lease.subnet), value: encodeHolder(ME) },
      {
        put: theirEndpoint,
        value: encodeEndpoint({ endpointId: 'theirs', mac, name: null, ipv6: null }),
      },
    ],
  )
  await host.mirror.refresh()
  const writes = await writesDuring(store, async () => {
    await host.publisher.run()
    await host.publisher.run()
  })
  assert.equal(writes, 0)
  assert.ok((await store.range(theirEndpoint)).entries.has(theirEndpoint))
  assert.equal(
    host.said.filter((line) => line.startsWith('error: this host lost the lease')).length,
    1,
  )

  await store.commit([], [{ delete: lease.key }])
  await host.mirror.refresh()
  await host.publisher.run()
  assert.equal(host.mirror.view().subnets.get(subnet)?.hostId, host.identity.hostId)
})

test('a grant whose journal record is still to come is not taken for a leftover', async () => {
  const { store, host } = await cluster()
  await using _ = host
  await host.publisher.run()
  const unspare = [host.publisher.spare('10.47.128.0/24'), host.publisher.spare('10.47.128.0/24')]
  const value = encodeSubnet(
    leaseValue({ hostId: host.identity.hostId, kind: 'routed', pool: null }),
  )
  const key = `${keyspace.root}subnets/10.47.128.0-24`
  await store.commit([], [{ put: key, value }])
  const isThere = async (): Promise<boolean> => {
    await host.mirror.refresh()
    await host.publisher.run()
    return (await store.range(key)).entries.has(key)
  }
  assert.equal(await isThere(), true)
  unspare[0]!()
  assert.equal(await isThere(), true, 'two asked for it, one is done')
  unspare[1]!()
  assert.equal(await isThere(), false)
})

test('a machine that was copied from another is refused, and the other goes on', async () => {
  const { store, host } = await cluster()
  await using _ = host
  await host.publisher.run()
  const copy = `${host.stateDir}-copy`
  await cp(host.stateDir, copy, { recursive: true })
  await using clone = await ControlHost.start(store, { number: 97, stateDir: copy })
  await assert.rejects(clone.publisher.run(), {
    code: 'conflict',
    message: /lists this host at 172\.18\.10\.96/,
  })
  assert.deepEqual(clone.cloned, [])
  await renewHost(store, host)
  await clone.mirror.refresh()
  await assert.rejects(clone.publisher.run(), {
    code: 'cloned_host',
    message: /cloned from host-96, .*remove STATE_DIR\/host-id/,
  })
  assert.equal(clone.cloned.length, 1)
  await host.publisher.run()
  assert.deepEqual(host.cloned, [], 'the machine that was copied goes on')
  await rm(copy, { recursive: true })
})

test('a host that restarts under another address is listed once the old record has run out', async () => {
  const { store, host } = await cluster()
  await using _ = host
  await host.publisher.run()
  await using moved = await ControlHost.start(store, { number: 106, stateDir: host.stateDir })
  await assert.rejects(moved.publisher.run(), { code: 'conflict' })
  const key = keyspace.host(host.identity.hostId)
  await store.commit([], [{ delete: key }])
  await moved.mirror.refresh()
  await moved.publisher.run()
  assert.match((await store.range(key)).entries.get(key)?.value ?? '', /172\.18\.10\.106/)
  assert.deepEqual(moved.cloned, [])
})

test('a restarted host is no clone of itself, whatever became of the process before', async () => {
  const { store, host } = await cluster()
  await using _ = host
  await host.publisher.run()
  for (let starts = 0; starts < 2; starts++) {
    await using again = await ControlHost.start(store, { number: 96, stateDir: host.stateDir })
    // The first of the two dies before it has published anything.
    if (starts === 1) await again.publisher.run()
    assert.deepEqual(again.cloned, [])
  }
})

test('a host that stops is not listed any more, and publishes nothing afterwards', async () => {
  const { store, host } = await cluster()
  await using _ = host
  await host.createNetwork(WEB, pooled('web'))
  await host.publisher.run()
  await host.publisher.stop()
  const key = keyspace.host(host.identity.hostId)
  assert.equal((await store.range(key)).entries.size, 0)
  await host.publisher.run()
  assert.equal((await store.range(key)).entries.size, 0)
  const kept = (await keysOf(store)).filter((each) => each.startsWith('subnets/'))
  assert.equal(kept.length, 1, 'its subnets stay: containers go on')
})

/** What a live host does every few seconds: the same record, under another lease. */
async function renewHost(store: Store, host: ControlHost): Promise<void> {
  const key = keyspace.host(host.identity.hostId)
  const { value } = (await store.range(key)).entries.get(key)!
  await store.commit([], [{ put: key, value }])
}
