import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Network } from '../../../src/control/journal.ts'
import { UNBOUND_MS } from '../../../src/control/subnets.ts'
import { parseCidr } from '../../../src/net/cidr.ts'
import { MemoryStore } from '../../../src/store/memory.ts'
import type { CommitResult } from '../../../src/store/store.ts'
import { parseView } from '../../../src/store/parse-view.ts'
import { keyspace } from '../store/view-support.ts'
import { ControlHost, docker, keysOf, pooled, routed, writeConfig } from './control-host.ts'
import { network, OTHER, overlay, holder } from './control-support.ts'

const WEB = 'w'.repeat(64)

async function cluster(): Promise<{ store: MemoryStore; host: ControlHost }> {
  const store = new MemoryStore()
  await writeConfig(store)
  return { store, host: await ControlHost.start(store, { number: 96 }) }
}

test('a lease is in the store and in the journal, with a gateway and the length that containers see', async () => {
  const { store, host } = await cluster()
  await using _ = host
  const held = await host.subnets.lease(pooled('web'), null)
  assert.deepEqual(
    [held.kind, held.pool, held.prefixLength, held.overlay, held.vni, held.networkId],
    ['pooled', '10.32.0.0/17', 17, 'web', 4096, null],
  )
  assert.equal(held.gateway, held.subnet.replace('.0/24', '.1'))
  assert.deepEqual(host.journal.subnets.get(held.subnet), held)
  const { subnets } = parseView(keyspace, await store.range(keyspace.root))
  assert.equal(subnets.get(held.subnet)?.hostId, host.identity.hostId)
  assert.equal(host.mirror.view().subnets.size, 1, 'this host sees at once what it was granted')
})

test("with Docker's address management the gateway is Docker's and no address is ours to give", async () => {
  const { host } = await cluster()
  await using _ = host
  const held = await host.subnets.lease(docker('172.20.0.0/16', 'web'), '172.20.0.9')
  assert.deepEqual([held.gateway, held.addresses, held.prefixLength], ['172.20.0.9', null, 16])
})

test('what is refused leaves nothing in the store or the journal', async () => {
  const { store, host } = await cluster()
  await using _ = host
  await store.commit([], [{ put: keyspace.overlay('web'), value: overlay(4096) }])
  const before = await keysOf(store)
  await assert.rejects(host.subnets.lease(pooled('web'), null), { code: 'conflict' })
  assert.deepEqual(await keysOf(store), before)
  assert.deepEqual(host.journal.subnets.values(), [])
})

test('a host that asks many times at once gets as many subnets, and the publisher takes none for a leftover', async () => {
  const { store, host } = await cluster()
  await using _ = host
  const stop = host.mirror.onChange(() => void host.publisher.attempt())
  const held = await Promise.all(
    Array.from({ length: 6 }, () => host.subnets.lease(pooled('web'), null)),
  )
  stop()
  await host.publisher.run()
  assert.equal(new Set(held.map(({ subnet }) => subnet)).size, 6)
  const { subnets } = parseView(keyspace, await store.range(keyspace.root))
  assert.deepEqual(new Set(subnets.keys()), new Set(held.map(({ subnet }) => subnet)))
})

test('what is given back leaves the store, with an overlay that nobody else is in', async () => {
  const { store, host } = await cluster()
  await using _ = host
  await using other = await ControlHost.start(store, { number: 98 })
  const mine = await host.subnets.lease(routed('web'), null)
  const theirs = await other.subnets.lease(routed('web'), null)
  await host.subnets.giveBack(mine.subnet)
  assert.deepEqual(
    (await keysOf(store)).filter((key) => /^(subnets|holders|overlays)/.test(key)),
    [
      `holders/${theirs.subnet.replace('/', '-')}`,
      'overlays/web',
      `subnets/${theirs.subnet.replace('/', '-')}`,
    ],
  )
  await other.subnets.giveBack(theirs.subnet)
  assert.ok(!(await keysOf(store)).includes('overlays/web'))
})

test('giving back during an outage forgets here at once and in the store later', async () => {
  const { store, host } = await cluster()
  await using _ = host
  const { subnet } = await host.subnets.lease(routed('web'), null)
  store.setAvailable(false)
  assert.equal(await host.subnets.giveBack(subnet), true)
  assert.equal(host.journal.subnets.get(subnet), undefined)
  store.setAvailable(true)
  await host.mirror.refresh()
})

test('a network is named into the overlay of its name, also after a refusal', async () => {
  const { store, host } = await cluster()
  await using _ = host
  const { subnet } = await host.subnets.lease(docker('172.20.0.0/16'), '172.20.0.1')
  await store.commit([], [{ put: keyspace.overlay('web'), value: overlay(4096, '10.50.0.0/16') }])
  await host.subnets.name(subnet, 'web')
  assert.match(host.subnets.refusal(subnet)!.message, /overlay web is pooled/)
  await host.subnets.name(subnet, 'web')
  assert.equal(host.said.filter((line) => line === 'warn: cannot join the overlay').length, 1)

  await store.commit([], [{ delete: keyspace.overlay('web') }])
  await host.subnets.name(subnet, 'web')
  assert.equal(host.subnets.refusal(subnet), null)
  const held = host.journal.subnets.get(subnet)
  assert.deepEqual([held?.overlay, held?.vni], ['web', 4096])
  assert.equal(host.mirror.view().subnets.get(subnet)?.vni, 4096)
})

test('a name learned twice, or for what is not held, changes nothing', async () => {
  const { store, host } = await cluster()
  await using _ = host
  const { subnet } = await host.subnets.lease(routed('web'), null)
  const before = (await store.range(keyspace.root)).revision
  await host.subnets.name(subnet, 'other')
  await host.subnets.name('10.99.0.0/24', 'web')
  assert.equal((await store.range(keyspace.root)).revision, before)
})

/** A store in which something happens before or after the transaction that names an overlay. */
class NamingStore extends MemoryStore {
  before: () => Promise<void> = async () => {}
  after: () => Promise<void> = async () => {}

  override async commit(...args: Parameters<MemoryStore['commit']>): Promise<CommitResult> {
    const names = args[1].some((operation) => 'put' in operation && operation.put === BRIEF)
    if (names) await this.before()
    const result = await super.commit(...args)
    if (names) await this.after()
    return result
  }
}
const BRIEF = keyspace.overlay('brief')

for (const moment of ['before', 'after'] as const) {
  test(`a network that goes right ${moment} its name is in the store leaves no lease and no overlay`, async () => {
    const store = new NamingStore()
    await writeConfig(store)
    await using host = await ControlHost.start(store, { number: 96 })
    await host.publisher.run()
    const before = await keysOf(store)
    const subnet = await host.createNetwork(WEB, routed(null))
    let hits = 0
    store[moment] = async () => {
      if (hits++ > 0) return
      await host.mirror.refresh()
      await host.publisher.run()
      await host.removeNetwork(WEB)
    }
    await host.subnets.name(subnet, 'brief')
    assert.equal(hits, 1)
    assert.deepEqual(await keysOf(store), ['allocator', ...before])
    assert.equal(host.subnets.refusal(subnet), null)
  })
}

test('what no network came for is given back after a minute, what one lives in never', async () => {
  const { store, host } = await cluster()
  await using _ = host
  const unused = await host.subnets.lease(routed('web'), null)
  const inUse = await host.createNetwork(WEB, routed('web'))
  const dangling = await host.subnets.lease(routed('web'), null)
  await host.journal.subnets.update(dangling.subnet, (mine) => ({
    ...mine,
    networkId: 'died with its record',
  }))
  const since = Math.max(unused.since, dangling.since)
  const left = (): string[] => host.journal.subnets.values().map(({ subnet }) => subnet)
  await host.subnets.reclaim(unused.since + UNBOUND_MS - 1, () => true)
  assert.equal(left().length, 3)
  await host.subnets.reclaim(since + UNBOUND_MS, (id) => id === 'died with its record')
  assert.deepEqual(left(), [inUse, dangling.subnet], 'its network may yet be found')
  await host.subnets.reclaim(since + UNBOUND_MS, () => false)
  assert.deepEqual(left(), [inUse])
  const { subnets } = parseView(keyspace, await store.range(keyspace.root))
  assert.deepEqual([...subnets.keys()], [inUse])
})

test('a network that comes as its subnet is being reclaimed keeps it', async (t) => {
  const { host } = await cluster()
  await using _ = host
  const { subnet, since } = await host.subnets.lease(routed('web'), null)
  let has: Network[] = []
  t.mock.method(host.journal.networks, 'values', () => has)
  // The reclaim is asked for first, and gets its turn only after the network is there.
  const turn = host.journal.subnets.update(subnet, (mine) => {
    has = [network(WEB, subnet)]
    return { ...mine }
  })
  await Promise.all([turn, host.subnets.reclaim(since + UNBOUND_MS, () => true)])
  assert.notEqual(host.journal.subnets.get(subnet), undefined)
})

test('a subnet kept for a host that is away is given to nobody', async () => {
  const { store, host } = await cluster()
  await using _ = host
  const key = keyspace.holder(parseCidr('10.40.0.0/24'))
  await store.commit([], [{ put: key, value: holder(OTHER) }])
  await assert.rejects(host.subnets.lease(docker('10.40.0.0/24'), null), {
    code: 'conflict',
    message: /switched off for now/,
  })
})

test('a store that was emptied does not give away what another host still has', async () => {
  const { store, host } = await cluster()
  await using _ = host
  await using other = await ControlHost.start(store, { number: 98 })
  await other.subnets.lease(docker('172.20.0.0/16', 'web'), null)
  await host.mirror.refresh()
  await host.subnets.lease(routed('mine'), null)
  const { entries } = await store.range(keyspace.root)
  await store.commit(
    [],
    [...entries.keys()].map((key) => ({ delete: key })),
  )
  await assert.rejects(host.subnets.lease(docker('172.20.0.0/16'), null), { code: 'conflict' })
  const { vni } = await host.subnets.lease(routed('new'), null)
  assert.equal(vni, 4098, "web's and mine's identifiers are not free")
})
