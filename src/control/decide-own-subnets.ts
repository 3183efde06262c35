import { parseCidr } from '../net/cidr.ts'
import type { Vni } from '../net/vni.ts'
import type { Decision } from '../store/allocate.ts'
import type { ClusterView, OverlayRecord } from '../store/cluster-view.ts'
import type { Keyspace } from '../store/keyspace.ts'
import { encodeHolder, encodeOverlay, encodeSubnet } from '../store/records.ts'
import type { Operation } from '../store/store.ts'
import { foreignHolder } from './foreign-holder.ts'
import type { HeldSubnet } from './journal.ts'
import { namedAsStored } from './named-as-stored.ts'
import { nextVni } from './vni-of-overlay.ts'
import { subnetValue, type Publisher } from './subnet-value.ts'

/** Writes for one subnet at most: its overlay, its lease, its holder. */
export const OPERATIONS_PER_SUBNET = 3

/** A held subnet whose identifier in the store is another than the journal's, with the store's. */
export interface Renumbered {
  readonly subnet: string
  readonly vni: Vni
}

/**
 * Makes the store say what the journal says of subnets that this host holds: renewed, expired during
 * an outage or wiped, each is written with its holder, and its overlay if that is gone. A subnet that
 * another host has by now is left alone: it is never fought over.
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
  for (const journaled of held) {
    if (foreignHolder(view, journaled, by.hostId) !== null) continue
    const mine = namedAsStored(view, journaled, by.hostId)
    const vni = mine.overlay === null ? 0 : overlayVni(view, mine, fresh, keys, operations)
    if (vni !== mine.vni) renumbered.push({ subnet: mine.subnet, vni })
    const subnet = parseCidr(mine.subnet)
    const value = encodeSubnet(subnetValue({ ...mine, vni }, by))
    operations.push(
      { put: keys.subnet(subnet), value, lease: by.storeLease },
      { put: keys.holder(subnet), value: encodeHolder(by.hostId) },
    )
  }
  return { operations, result: renumbered }
}

/** The overlay's identifier as the store has it; an overlay that is gone is made again, under its old one if free. */
function overlayVni(
  view: ClusterView,
  mine: HeldSubnet,
  fresh: Map<string, OverlayRecord>,
  keys: Keyspace,
  operations: Operation[],
): Vni {
  const name = mine.overlay!
  const known = view.overlays.get(name) ?? fresh.get(name)
  if (known) return known.vni
  const others = new Map([...view.overlays, ...fresh])
  const taken = others.values().some((overlay) => overlay.vni === mine.vni)
  const overlay = {
    key: keys.overlay(name),
    modRevision: '0',
    name,
    vni: taken || mine.vni === 0 ? nextVni({ ...view, overlays: others }, view.config) : mine.vni,
    pool: mine.pool === null ? null : parseCidr(mine.pool),
    subnetLength: mine.pool === null ? null : parseCidr(mine.subnet).length,
  }
  fresh.set(name, overlay)
  operations.push({ put: overlay.key, value: encodeOverlay(overlay) })
  return overlay.vni
}
