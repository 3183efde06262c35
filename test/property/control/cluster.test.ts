import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import fc from 'fast-check'
import { ANY_SUBNET6 } from '../../../src/control/subnet6-wish.ts'
import { OverlayError } from '../../../src/errors.ts'
import { overlaps } from '../../../src/net/cidr.ts'
import { formatCidr6, overlaps6 } from '../../../src/net/cidr6.ts'
import type { ClusterView } from '../../../src/store/cluster-view.ts'
import { MemoryStore } from '../../../src/store/memory.ts'
import { parseView } from '../../../src/store/parse-view.ts'
import {
  ControlHost,
  docker,
  keysOf,
  pooled,
  routed,
  writeConfig,
} from '../../unit/control/control-host.ts'
import { keyspace } from '../../unit/store/view-support.ts'

const HOSTS = 3
const names = fc.constantFrom('web', 'app', 'db')
const hosts = fc.nat(HOSTS - 1)

/** What a host may do; several at once, since hosts do not ask each other. */
const action = fc.oneof(
  fc.record({ do: fc.constant('lease' as const), host: hosts, wish: names.map(pooled) }),
  fc.record({
    do: fc.constant('lease' as const),
    host: hosts,
    wish: fc.option(names).map(routed),
  }),
  fc.record({
    do: fc.constant('lease' as const),
    host: hosts,
    wish: fc
      .tuple(fc.constantFrom('172.20.0.0/16', '172.20.128.0/17', '172.21.0.0/16'), fc.option(names))
      .map(([subnet, overlay]) => docker(subnet, overlay)),
  }),
  fc.record({
    do: fc.constant('lease6' as const),
    host: hosts,
    wish: fc.oneof(names.map(pooled), fc.option(names).map(routed)),
  }),
  fc.record({ do: fc.constant('half' as const), host: hosts, which: fc.nat(5) }),
  fc.record({ do: fc.constant('name' as const), host: hosts, name: names, which: fc.nat(5) }),
  fc.record({ do: fc.constant('release' as const), host: hosts, which: fc.nat(5) }),
  fc.record({ do: fc.constant('publish' as const), host: hosts }),
)
type Action = typeof action extends fc.Arbitrary<infer A> ? A : never

/** A store far away: what a host has read is a while old when it decides, so that races happen. */
function distantStore(): MemoryStore {
  const store = new MemoryStore()
  const range = store.range.bind(store)
  store.range = async (prefix) => {
    const snapshot = await range(prefix)
    await sleep(10)
    return snapshot
  }
  return store
}

/** A refusal is an answer; anything else is a fault. */
async function unlessRefused(work: Promise<unknown>): Promise<void> {
  try {
    await work
  } catch (error) {
    if (!(error instanceof OverlayError) || error.code === 'store_unavailable') throw error
  }
}

function perform(host: ControlHost, each: Action): Promise<void> {
  const held = host.journal.subnets.values().map(({ subnet }) => subnet)
  const subnet = 'which' in each ? held[each.which % held.length] : undefined
  if (each.do === 'lease') return unlessRefused(host.subnets.lease(each.wish, null))
  if (each.do === 'lease6') return unlessRefused(host.subnets.lease6(each.wish, ANY_SUBNET6))
  if (each.do === 'publish') return unlessRefused(host.publisher.run())
  if (subnet === undefined) return Promise.resolve()
  if (each.do === 'half') return host.subnets.giveBackHalf(subnet)
  if (each.do === 'name') return host.subnets.name(subnet, each.name)
  return host.subnets.giveBack(subnet).then(() => undefined)
}

/** What is true of the store whatever happened. */
function assertSound(view: ClusterView): void {
  assert.deepEqual(view.problems, [])
  const leases = [...view.subnets.values()]
  const pairs = leases.flatMap((a, index) => leases.slice(index + 1).map((b) => [a, b] as const))
  assert.deepEqual(
    pairs.filter(([a, b]) => overlaps(a.subnet, b.subnet)),
    [],
  )
  assert.deepEqual(
    pairs.filter(([a, b]) => a.ipv6 && b.ipv6 && overlaps6(a.ipv6.subnet, b.ipv6.subnet)),
    [],
  )
  const vnis = [...view.overlays.values()].map(({ vni }) => vni)
  assert.equal(new Set(vnis).size, vnis.length, 'each overlay has an identifier of its own')
}

/** What is true once every host has published: the store and the journals say the same. */
function assertAgreed(view: ClusterView, all: readonly ControlHost[]): void {
  const told = [...view.subnets].map(([text, lease]) => [
    text,
    lease.hostId,
    lease.overlay,
    lease.vni,
    lease.ipv6 && formatCidr6(lease.ipv6.subnet),
  ])
  const meant = all.flatMap(({ identity, journal }) =>
    journal.subnets
      .values()
      .map((held) => [
        held.subnet,
        identity.hostId,
        held.overlay,
        held.vni,
        held.ipv6 && held.ipv6.subnet,
      ]),
  )
  assert.deepEqual(new Set(told.map(String)), new Set(meant.map(String)))
  for (const { overlay, vni } of view.subnets.values()) {
    assert.equal(vni, overlay === null ? 0 : view.overlays.get(overlay)?.vni, `overlay ${overlay}`)
  }
}

test('hosts that lease, name and release as they like never overlap, agree in the end, and leave nothing', async () => {
  const rounds = fc.array(fc.array(action, { minLength: 1, maxLength: 4 }), { maxLength: 8 })
  await fc.assert(
    fc.asyncProperty(rounds, async (sequence) => {
      const store = distantStore()
      await writeConfig(store)
      await using undo = new AsyncDisposableStack()
      const all: ControlHost[] = []
      for (let n = 0; n < HOSTS; n++) {
        all.push(undo.use(await ControlHost.start(store, { number: 90 + n })))
      }
      const view = async (): Promise<ClusterView> =>
        parseView(keyspace, await store.range(keyspace.root))
      for (const round of sequence) {
        await Promise.all(round.map((each) => perform(all[each.host]!, each)))
        assertSound(await view())
      }
      // The second time each hears of what the others made of the first.
      for (let times = 0; times < 2; times++) {
        for (const host of all) {
          await host.mirror.refresh()
          await host.publisher.run()
        }
      }
      assertSound(await view())
      assertAgreed(await view(), all)
      for (const { subnets, journal } of all) {
        for (const { subnet } of journal.subnets.values()) await subnets.giveBack(subnet)
      }
      for (const host of all) {
        await host.mirror.refresh()
        await host.publisher.run()
        await host.publisher.stop()
      }
      const left = (await keysOf(store)).filter((key) => !/^(private\/|allocator$)/.test(key))
      assert.deepEqual(left, ['config'])
      await store.close()
    }),
    { numRuns: 30 },
  )
})
