import { OverlayError } from '../errors.ts'
import { formatCidr, parseCidr } from '../net/cidr.ts'
import type { Vni } from '../net/vni.ts'
import type { Decision } from '../store/allocate.ts'
import type { ClusterView } from '../store/cluster-view.ts'
import type { Keyspace } from '../store/keyspace.ts'
import { encodeOverlay, encodeSubnet } from '../store/records.ts'
import type { Operation } from '../store/store.ts'
import { foreignHolder } from './foreign-holder.ts'
import type { HeldSubnet } from './journal.ts'
import { joinCommand } from './join-command.ts'
import { overlayOfPool, routedOverlay } from './overlays.ts'
import { subnetValue, type Publisher } from './subnet-value.ts'
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
 * @throws OverlayError conflict when the name belongs to an overlay of another kind, pool or VNI, or the
 *   subnet to another host
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
  const value = subnetValue({ ...held, overlay: overlay.name, vni: overlay.vni }, by)
  const subnet = parseCidr(held.subnet)
  operations.push({ put: keys.subnet(subnet), value: encodeSubnet(value), lease: by.storeLease })
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
  const owner = overlayOfPool(view, pool)
  if (owner) {
    refuseOtherVni(owner, vni)
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
  }
  operations.push({ put: keys.overlay(name), value: encodeOverlay(overlay) })
  return overlay
}
