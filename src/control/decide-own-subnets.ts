import { containsCidr, formatCidr, overlaps, parseCidr, sameCidr } from '../net/cidr.ts'
import type { Vni } from '../net/vni.ts'
import type { Decision } from '../store/allocate.ts'
import type { ClusterView, OverlayRecord } from '../store/cluster-view.ts'
import type { Keyspace } from '../store/keyspace.ts'
import { encodeHolder, encodeOverlay, encodeSubnet } from '../store/records.ts'
import type { Operation } from '../store/store.ts'
import type { HeldSubnet } from './journal.ts'
import { nextVni } from './overlays.ts'
import { subnetValue, type Publisher } from './subnet-value.ts'

export interface OwnSubnets {
  /** Held subnets whose identifier in the store is another than the journal's, with the store's. */
  readonly renumbered: readonly { readonly subnet: string; readonly vni: Vni }[]
  /** Held subnets that another host has by now: said loudly, never fought over. */
  readonly lost: readonly { readonly subnet: string; readonly holder: string }[]
}

/**
 * Makes the store say what the journal says of this host's subnets: those it holds are (re)written,
 * whether renewed, expired during an outage or wiped; those it no longer holds go, with their holder
 * record, their endpoints, and their overlay if nobody is left in it.
 *
 * `spared` are subnets whose grant is under way: in the store already, in the journal not yet.
 */
export function decideOwnSubnets(
  view: ClusterView,
  held: readonly HeldSubnet[],
  spared: ReadonlySet<string>,
  by: Publisher,
  keys: Keyspace,
): Decision<OwnSubnets> {
  const operations: Operation[] = []
  const renumbered: { subnet: string; vni: Vni }[] = []
  const lost: { subnet: string; holder: string }[] = []
  const fresh = new Map<string, OverlayRecord>()

  for (const mine of held) {
    const holder = foreignHolder(view, mine, by)
    if (holder !== null) {
      lost.push({ subnet: mine.subnet, holder })
      continue
    }
    const vni = mine.overlay === null ? 0 : overlayVni(view, mine, fresh, keys, operations)
    if (vni !== mine.vni) renumbered.push({ subnet: mine.subnet, vni })
    const subnet = parseCidr(mine.subnet)
    const value = encodeSubnet(subnetValue({ ...mine, vni }, by))
    operations.push(
      { put: keys.subnet(subnet), value, lease: by.storeLease },
      { put: keys.holder(subnet), value: encodeHolder(by.hostId) },
    )
  }
  operations.push(...removals(view, held, spared, by, keys))
  return { operations, result: { renumbered, lost } }
}

function foreignHolder(view: ClusterView, mine: HeldSubnet, by: Publisher): string | null {
  const subnet = parseCidr(mine.subnet)
  const lease = view.subnets
    .values()
    .find((other) => other.hostId !== by.hostId && overlaps(other.subnet, subnet))
  return lease ? (lease.hostId ?? 'a flannel host') : null
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
    vni: taken || mine.vni === 0 ? nextVni({ ...view, overlays: others }, view.config!) : mine.vni,
    pool: mine.pool === null ? null : parseCidr(mine.pool),
    subnetLength: mine.pool === null ? null : parseCidr(mine.subnet).length,
  }
  fresh.set(name, overlay)
  operations.push({ put: overlay.key, value: encodeOverlay(overlay) })
  return overlay.vni
}

function removals(
  view: ClusterView,
  held: readonly HeldSubnet[],
  spared: ReadonlySet<string>,
  by: Publisher,
  keys: Keyspace,
): Operation[] {
  const kept = new Set([...held.map((mine) => mine.subnet), ...spared])
  const gone = [...view.subnets.values()].filter(
    (lease) => lease.hostId === by.hostId && !kept.has(formatCidr(lease.subnet)),
  )
  const operations: Operation[] = gone.map((lease) => ({ delete: lease.key }))
  for (const [text, hostId] of view.holders) {
    if (hostId === by.hostId && !kept.has(text)) {
      operations.push({ delete: keys.holder(parseCidr(text)) })
    }
  }
  for (const endpoint of view.endpoints) {
    if (gone.some((lease) => sameCidr(lease.subnet, endpoint.subnet))) {
      operations.push({ delete: endpoint.key })
    }
  }
  const leaving = new Set(gone.map((lease) => lease.overlay))
  for (const name of leaving) {
    const overlay = name === null ? undefined : view.overlays.get(name)
    if (overlay && !isInhabited(view, overlay, held, spared, by)) {
      operations.push({ delete: overlay.key })
    }
  }
  return operations
}

/** Whether anyone but the leases that go is in the overlay, or keeps a subnet of its pool. */
function isInhabited(
  view: ClusterView,
  overlay: OverlayRecord,
  held: readonly HeldSubnet[],
  spared: ReadonlySet<string>,
  by: Publisher,
): boolean {
  const { name, pool } = overlay
  if (held.some((mine) => mine.overlay === name)) return true
  const leased = view.subnets
    .values()
    .some(
      (lease) =>
        lease.overlay === name &&
        (lease.hostId !== by.hostId || spared.has(formatCidr(lease.subnet))),
    )
  if (leased) return true
  return (
    pool !== null &&
    view.holders
      .entries()
      .some(([text, hostId]) => hostId !== by.hostId && containsCidr(pool, parseCidr(text)))
  )
}
