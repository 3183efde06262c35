import assert from 'node:assert/strict'
import { test } from 'node:test'
import { UNBOUND_MS } from '../../../src/control/subnets.ts'
import { ANY_SUBNET6, type Subnet6Wish } from '../../../src/control/subnet6-wish.ts'
import { parseCidr } from '../../../src/net/cidr.ts'
import { parseCidr6 } from '../../../src/net/cidr6.ts'
import { MemoryStore } from '../../../src/store/memory.ts'
import { parseView } from '../../../src/store/parse-view.ts'
import { keyspace } from '../store/view-support.ts'
import { ControlHost, docker, keysOf, pooled, routed, writeConfig } from './control-host.ts'
import { network, overlay } from './control-support.ts'

const WEB = 'w'.repeat(64)

async function cluster(): Promise<{ store: MemoryStore; host: ControlHost }> {
  const store = new MemoryStore()
  await writeConfig(store)
  return { store, host: await ControlHost.start(store, { number: 96 }) }
}

const leaseKeys = async (store: MemoryStore): Promise<string[]> =>
  (await keysOf(store)).filter((key) => key.startsWith('subnets/'))

const dashed = (prefix: string): string => prefix.replace('/', '-')

const given = (pool: string): Subnet6Wish => ({
  kind: 'ours',
  pool: parseCidr6(pool),
  subnet: null,
})

test('the second call of a network gives the subnet of the first its IPv6 half', async () => {
  const { store, host } = await cluster()
  await using _ = host
  const first = await host.subnets.lease(pooled('web'), null)
  const both = await host.subnets.lease6(pooled('web'), given('fd00:40::/48'))
  assert.equal(both.subnet, first.subnet)
  assert.deepEqual(
    [both.ipv6!.pool, both.ipv6!.gateway],
    ['fd00:40::/48', both.ipv6!.subnet.replace('/64', '1')],
  )
  assert.deepEqual(host.journal.subnets.get(first.subnet), both)
  assert.deepEqual(await leaseKeys(store), [
    `subnets/${dashed(first.subnet)}&${dashed(both.ipv6!.subnet)}`,
  ])
  await host.publisher.run()
  const { overlays, subnets } = parseView(keyspace, await store.range(keyspace.root))
  assert.deepEqual(overlays.get('web')?.pool6, parseCidr6('fd00:40::/48'))
  assert.equal(subnets.size, 1, 'the publisher finds it as it should be')
})

test('two hosts that ask at once have one IPv6 pool and a part of it each', async () => {
  const { store, host } = await cluster()
  await using _ = host
  await using other = await ControlHost.start(store, { number: 98 })
  const both = await Promise.all(
    [host, other].map((each) => each.subnets.lease(pooled('web'), null, ANY_SUBNET6)),
  )
  const [here, there] = both.map(({ ipv6 }) => ipv6!)
  assert.equal(here!.pool, there!.pool)
  assert.notEqual(here!.subnet, there!.subnet)
})

test('a network of IPv6 alone is leased an IPv4 subnet that nobody is told of, and goes back whole', async () => {
  const { store, host } = await cluster()
  await using _ = host
  const held = await host.subnets.lease6(pooled('web'), ANY_SUBNET6)
  assert.match(held.subnet, /^10\.32\./)
  await host.subnets.giveBackHalf(held.ipv6!.subnet)
  assert.deepEqual(host.journal.subnets.values(), [])
  assert.deepEqual(await leaseKeys(store), [])
  await host.subnets.giveBackHalf(held.ipv6!.subnet)
})

test('a half is given back alone while no network has it, and with its network otherwise', async () => {
  const { store, host } = await cluster()
  await using _ = host
  const { subnet } = await host.subnets.lease(pooled('web'), null)
  const { ipv6 } = await host.subnets.lease6(pooled('web'), ANY_SUBNET6)
  await host.subnets.giveBackHalf(ipv6!.subnet)
  assert.equal(host.journal.subnets.get(subnet)?.ipv6, null)
  assert.deepEqual(await leaseKeys(store), [`subnets/${dashed(subnet)}`])

  const again = await host.subnets.lease6(pooled('web'), ANY_SUBNET6)
  await host.journal.networks.put(WEB, network(WEB, subnet))
  await host.subnets.giveBackHalf(again.ipv6!.subnet)
  assert.notEqual(host.journal.subnets.get(subnet)?.ipv6, null)
  await host.journal.networks.delete(WEB)
  await host.subnets.giveBackUnused(subnet)
  assert.deepEqual(await leaseKeys(store), [])
})

test('a half that is refused leaves the subnet of the first call as it was', async () => {
  const { store, host } = await cluster()
  await using _ = host
  await store.commit(
    [],
    [{ put: keyspace.overlay('web'), value: overlay(4096, '10.40.0.0/16', 'fd00:40::/48') }],
  )
  const held = await host.subnets.lease(pooled('web'), null)
  await assert.rejects(host.subnets.lease6(pooled('web'), given('fd00:50::/48')), {
    code: 'conflict',
  })
  assert.deepEqual(host.journal.subnets.values(), [held])
  assert.deepEqual(await leaseKeys(store), [`subnets/${dashed(held.subnet)}`])
})

test('a subnet that is leased for both families at once is given back when the second is refused', async () => {
  const { store, host } = await cluster()
  await using _ = host
  const half: Subnet6Wish = { kind: 'docker', subnet: parseCidr6('fe80::/64'), gateway: null }
  const asked = host.subnets.lease(docker('172.20.0.0/16', 'web'), '172.20.0.1', half)
  await assert.rejects(asked, { code: 'bad_input' })
  assert.deepEqual(host.journal.subnets.values(), [])
  assert.deepEqual(await leaseKeys(store), [])
})

test("what Docker chose of both families is claimed, under Docker's gateways", async () => {
  const { store, host } = await cluster()
  await using _ = host
  const half: Subnet6Wish = {
    kind: 'docker',
    subnet: parseCidr6('fd00:95::/64'),
    gateway: 'fd00:95::9',
  }
  const held = await host.subnets.lease(docker('172.20.0.0/16', 'web'), '172.20.0.1', half)
  assert.deepEqual(held.ipv6, {
    subnet: 'fd00:95::/64',
    pool: null,
    gateway: 'fd00:95::9',
    addresses: null,
  })
  assert.deepEqual(await leaseKeys(store), ['subnets/172.20.0.0-16&fd00:95::-64'])
})

test('a half that the store has and the journal not yet is no leftover of a publisher that comes between', async () => {
  const { store, host } = await cluster()
  await using _ = host
  const stop = host.mirror.onChange(() => void host.publisher.attempt())
  await Promise.all(
    Array.from({ length: 6 }, async (_each, number) => {
      const overlayOf = pooled(`web${number}`)
      await host.subnets.lease(overlayOf, null)
      await host.subnets.lease6(overlayOf, ANY_SUBNET6)
    }),
  )
  stop()
  await host.publisher.run()
  const { subnets, problems } = parseView(keyspace, await store.range(keyspace.root))
  assert.deepEqual(problems, [])
  assert.equal(
    subnets
      .values()
      .filter(({ ipv6 }) => ipv6 !== null)
      .toArray().length,
    6,
  )
  assert.ok(host.journal.subnets.values().every(({ ipv6 }) => ipv6 !== null))
})

test('a publisher that began before a half was granted leaves it alone until the journal has it', async () => {
  const { store, host } = await cluster()
  await using _ = host
  const { subnet } = await host.subnets.lease(pooled('web'), null, ANY_SUBNET6)
  const before = await leaseKeys(store)
  await host.journal.subnets.update(subnet, (mine) => ({ ...mine, ipv6: null }))
  const range = store.range.bind(store)
  const undo: (() => void)[] = []
  store.range = (prefix) => {
    undo.push(host.publisher.spare(subnet))
    return range(prefix)
  }
  await host.publisher.run()
  store.range = range
  assert.notEqual(undo.length, 0)
  assert.deepEqual(await leaseKeys(store), before)
  for (const forget of undo) forget()
  await host.publisher.run()
  assert.deepEqual(await leaseKeys(store), [`subnets/${dashed(subnet)}`])
})

test('a subnet that another network takes while its half is asked for gets none', async () => {
  const { store, host } = await cluster()
  await using _ = host
  const { subnet } = await host.subnets.lease(pooled('web'), null)
  const commit = store.commit.bind(store)
  store.commit = async (compares, operations) => {
    const result = await commit(compares, operations)
    await host.journal.networks.put(WEB, network(WEB, subnet))
    await host.journal.subnets.update(subnet, (mine) => ({ ...mine, networkId: WEB }))
    return result
  }
  await assert.rejects(host.subnets.lease6(pooled('web'), ANY_SUBNET6), {
    code: 'conflict',
    message: /^another network took the subnet .* meanwhile; run the command again$/,
  })
  store.commit = commit
  await host.publisher.run()
  assert.equal(host.journal.subnets.get(subnet)?.ipv6, null)
  assert.deepEqual(await leaseKeys(store), [`subnets/${dashed(subnet)}`])
})

test('a lease of ours that stands beside the right one, and is older, is taken away', async () => {
  const { store, host } = await cluster()
  await using _ = host
  const held = await host.subnets.lease(pooled('web'), null, ANY_SUBNET6)
  await host.publisher.run()
  const both = keyspace.subnet(parseCidr(held.subnet), parseCidr6(held.ipv6!.subnet))
  const alone = keyspace.subnet(parseCidr(held.subnet))
  const { value, lease } = (await store.range(both)).entries.get(both)!
  await store.commit([], [{ delete: both }, { put: alone, value }])
  await store.commit([], [{ put: both, value, lease: lease! }])
  await host.mirror.refresh()
  await host.publisher.run()
  assert.deepEqual((await store.range(alone)).entries.keys().toArray(), [both])
})

test('when the journal lost the half, or the store, the publisher makes them one again', async () => {
  const { store, host } = await cluster()
  await using _ = host
  const held = await host.subnets.lease(pooled('web'), null, ANY_SUBNET6)
  await host.journal.networks.put(WEB, network(WEB, held.subnet))
  await host.journal.subnets.update(held.subnet, (mine) => ({ ...mine, ipv6: null }))
  await host.publisher.run()
  assert.deepEqual(await leaseKeys(store), [`subnets/${dashed(held.subnet)}`])
  await host.journal.subnets.put(held.subnet, held)
  await host.publisher.run()
  assert.deepEqual(await leaseKeys(store), [
    `subnets/${dashed(held.subnet)}&${dashed(held.ipv6!.subnet)}`,
  ])
})

test('an overlay whose record lost its IPv6 pool gets it back from whoever has a part of it', async () => {
  const { store, host } = await cluster()
  await using _ = host
  await host.createNetwork(WEB, pooled('web'))
  const held = await host.subnets.lease(pooled('web'), null, given('fd00:40::/48'))
  await host.journal.networks.put('b', network('b', held.subnet))
  const pool = held.pool!
  await store.commit([], [{ put: keyspace.overlay('web'), value: overlay(4096, pool) }])
  await host.mirror.refresh()
  await host.publisher.run()
  const { overlays } = parseView(keyspace, await store.range(keyspace.root))
  assert.deepEqual(overlays.get('web')?.pool6, parseCidr6('fd00:40::/48'))
})

test('a subnet that is named later takes its IPv6 pool into the overlay, or is refused with the two pools', async () => {
  const { store, host } = await cluster()
  await using _ = host
  await using other = await ControlHost.start(store, { number: 98 })
  const shared = { kind: 'shared-pool', subnetLength: null, subnet: null } as const
  const pool = { base: 0x0a_28_00_00, length: 16 }
  const held = await host.subnets.lease({ ...shared, pool }, null, given('fd00:40::/48'))
  await host.subnets.name(held.subnet, 'web')
  assert.equal(host.subnets.refusal(held.subnet), null)
  await other.mirror.refresh()
  const theirs = await other.subnets.lease({ ...shared, pool }, null)
  const joined = await other.subnets.lease6(routed(null), ANY_SUBNET6)
  assert.equal(joined.subnet, theirs.subnet)
  assert.equal(joined.ipv6!.pool, 'fd00:40::/48')
})

test('a half goes with its subnet when no network comes', async () => {
  const { store, host } = await cluster()
  await using _ = host
  await host.subnets.lease(routed(null), null)
  await host.subnets.lease6(routed(null), ANY_SUBNET6)
  await host.subnets.reclaim(Date.now() + UNBOUND_MS + 1, () => false)
  assert.deepEqual(host.journal.subnets.values(), [])
  assert.deepEqual(await leaseKeys(store), [])
})
