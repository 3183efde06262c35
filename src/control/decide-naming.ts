import { OverlayError } from '../errors.ts'
import { formatCidr, parseCidr } from '../net/cidr.ts'
import { formatCidr6, sameCidr6 } from '../net/cidr6.ts'
import type { Vni } from '../net/vni.ts'
import type { Decision } from '../store/allocate.ts'
import type { ClusterView, OverlayRecord } from '../store/cluster-view.ts'
import type { Keyspace } from '../store/keyspace.ts'
import { encodeOverlay } from '../store/records.ts'
import type { Operation } from '../store/store.ts'
import { foreignHolder } from './foreign-holder.ts'
import type { HeldSubnet } from './journal.ts'
import { joinCommand } from './join-command.ts'
import { leaseWrites } from './lease-writes.ts'
import { lacksPool6, overlayOfPool, routedOverlay } from './overlays.ts'
import { halfOf, type Publisher } from './subnet-value.ts'
import { hostName } from './taken.ts'
import { refuseOtherVni, vniOfNew } from './vni-of-overlay.ts'

export interface NamedOverlay {
  readonly name: string
  readonly vni: Vni
}

/**
 * Puts a held subnet into its overlay, once the network's name is known: the overlay that owns the
 * subnet's pool, else the one of that name, made if there is none.
 * @param vni the one it must have; null takes any
 * @throws OverlayError conflict when the name belongs to an overlay of another kind, pool (of either
 *   family) or VNI, or the subnet to another host
 */
export function decideNaming(
  view: ClusterView,
  held: HeldSubnet,
  name: string,
  by: Publisher,
  keys: Keyspace,
  vni: Vni | null = null,
): Decision<NamedOverlay> {
  const holder = foreignHolder(view, held, by.hostId)
  if (holder !== null) {
    throw new OverlayError(
      'conflict',
      `the subnet ${held.subnet} of this network belongs to host ${hostName(view, holder)} by now; remove the network and create it again`,
    )
  }
  const operations: Operation[] = []
  const overlay = held.pool
    ? pooledOverlay(view, held, name, keys, operations, vni)
    : routedOverlay(view, name, keys, operations, vni)
  const named = { ...held, overlay: overlay.name, vni: overlay.vni }
  operations.push(...leaseWrites(view, named, by, keys))
  return { operations, result: { name: overlay.name, vni: overlay.vni } }
}

function pooledOverlay(
  view: ClusterView,
  held: HeldSubnet,
  name: string,
  keys: Keyspace,
  operations: Operation[],
  vni: Vni | null,
): NamedOverlay {
  const pool = parseCidr(held.pool!)
  const pool6 = halfOf(held)?.pool ?? null
  const owner = overlayOfPool(view, pool)
  if (owner) {
    refuseOtherVni(owner, vni)
    refuseOtherPool6(owner, held)
    if (lacksPool6(view, owner, pool6)) {
      operations.push({ put: owner.key, value: encodeOverlay({ ...owner, pool6 }) })
    }
    return owner
  }
  const namesake = view.overlays.get(name)
  if (namesake) {
    const kind = namesake.pool ? `has the pool ${formatCidr(namesake.pool)}` : 'is routed'
    throw new OverlayError(
      'conflict',
      `this network was made with the pool ${held.pool}, but the overlay ${name} ${kind}; remove the network and join the overlay with: ${joinCommand(namesake)}`,
    )
  }
  const overlay = {
    name,
    vni: vniOfNew(view, name, vni),
    pool,
    subnetLength: parseCidr(held.subnet).length,
    pool6,
  }
  operations.push({ put: keys.overlay(name), value: encodeOverlay(overlay) })
  return overlay
}

function refuseOtherPool6(owner: OverlayRecord, held: HeldSubnet): void {
  const pool6 = halfOf(held)?.pool
  if (!pool6 || owner.pool6 === null || sameCidr6(owner.pool6, pool6)) return
  throw new OverlayError(
    'conflict',
    `this network was made with the IPv6 pool ${formatCidr6(pool6)}, but the overlay ${owner.name} has ${formatCidr6(owner.pool6)}; remove the network and join the overlay with: ${joinCommand(owner, '--ipv6')}`,
  )
}
