import { parseCidr } from '../net/cidr.ts'
import { parseCidr6, type Cidr6 } from '../net/cidr6.ts'
import type { Vni } from '../net/vni.ts'
import type { Decision } from '../store/allocate.ts'
import type { ClusterView, OverlayRecord } from '../store/cluster-view.ts'
import type { Keyspace } from '../store/keyspace.ts'
import { encodeHolder, encodeOverlay } from '../store/records.ts'
import type { Operation } from '../store/store.ts'
import { foreignHolder } from './foreign-holder.ts'
import type { HeldSubnet } from './journal.ts'
import { leaseWrites } from './lease-writes.ts'
import { namedAsStored } from './named-as-stored.ts'
import { lacksPool6 } from './overlays.ts'
import { nextVni } from './vni-of-overlay.ts'
import type { Publisher } from './subnet-value.ts'

/**
 * Writes for one subnet at most: its overlay, its lease, its holder; one more where the lease moves to
 * another key, since it got or lost its IPv6 half.
 */
export const OPERATIONS_PER_SUBNET = 3

/** A held subnet whose identifier in the store is another than the journal's, with the store's. */
export interface Renumbered {
  readonly subnet: string
  readonly vni: Vni
}

/**
 * Makes the store say what the journal says of subnets that this host holds: renewed, expired during
 * an outage or wiped, each is written with its holder, and its overlay if that is gone. A subnet that
 * another host has by now is left alone: it is never fought over. An overlay's record gets the IPv6 pool
 * that the journal knows if it has none.
 */
export function decideOwnSubnets(
  view: ClusterView,
  held: readonly HeldSubnet[],
  by: Publisher,
  keys: Keyspace,
): Decision<readonly Renumbered[]> {
  const operations: Operation[] = []
  const renumbered: Renumbered[] = []
  const fresh = new Map<string, OverlayRecord>()
  const pool6Of = (name: string): Cidr6 | null => {
    const pool = held.find(({ overlay, ipv6 }) => overlay === name && ipv6?.pool)?.ipv6?.pool
    return pool ? parseCidr6(pool) : null
  }
  for (const journaled of held) {
    if (foreignHolder(view, journaled, by.hostId) !== null) continue
    const mine = namedAsStored(view, journaled, by.hostId)
    const vni =
      mine.overlay === null
        ? 0
        : overlayVni(view, mine, pool6Of(mine.overlay), fresh, keys, operations)
    if (vni !== mine.vni) renumbered.push({ subnet: mine.subnet, vni })
    operations.push(...leaseWrites(view, { ...mine, vni }, by, keys), {
      put: keys.holder(parseCidr(mine.subnet)),
      value: encodeHolder(by.hostId),
    })
  }
  return { operations, result: renumbered }
}

/** The overlay's identifier as the store has it; an overlay that is gone is made again, under its old one if free. */
function overlayVni(
  view: ClusterView,
  mine: HeldSubnet,
  pool6: Cidr6 | null,
  fresh: Map<string, OverlayRecord>,
  keys: Keyspace,
  operations: Operation[],
): Vni {
  const name = mine.overlay!
  const known = fresh.get(name) ?? view.overlays.get(name)
  if (known && !lacksPool6(view, known, pool6)) return known.vni
  const write = (overlay: OverlayRecord): Vni => {
    fresh.set(name, overlay)
    operations.push({ put: overlay.key, value: encodeOverlay(overlay) })
    return overlay.vni
  }
  if (known) return write({ ...known, pool6 })
  const others = new Map([...view.overlays, ...fresh])
  const taken = others.values().some((overlay) => overlay.vni === mine.vni)
  return write({
    key: keys.overlay(name),
    modRevision: '0',
    name,
    vni: taken || mine.vni === 0 ? nextVni({ ...view, overlays: others }, view.config) : mine.vni,
    pool: mine.pool === null ? null : parseCidr(mine.pool),
    subnetLength: mine.pool === null ? null : parseCidr(mine.subnet).length,
    pool6: mine.pool === null ? null : pool6,
  })
}
