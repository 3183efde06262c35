import { OverlayError } from '../errors.ts'
import { formatCidr, sameCidr, type Cidr } from '../net/cidr.ts'
import { overlaps6, type Cidr6 } from '../net/cidr6.ts'
import type { Vni } from '../net/vni.ts'
import type { ClusterView, OverlayRecord } from '../store/cluster-view.ts'
import type { Keyspace } from '../store/keyspace.ts'
import { encodeOverlay } from '../store/records.ts'
import type { Operation } from '../store/store.ts'
import { joinCommand } from './join-command.ts'
import { refuseOtherVni, vniOfNew } from './vni-of-overlay.ts'

/**
 * The routed overlay of that name, made if there is none.
 * @param vni the one it must have; null takes any
 * @throws OverlayError conflict if it is pooled or has another VNI, or the VNI is somebody else's
 */
export function routedOverlay(
  view: ClusterView,
  name: string,
  keys: Keyspace,
  operations: Operation[],
  vni: Vni | null,
): Pick<OverlayRecord, 'name' | 'vni'> {
  const known = view.overlays.get(name)
  if (known?.pool) {
    throw new OverlayError(
      'conflict',
      `overlay ${name} is pooled (${formatCidr(known.pool)}), so its addresses cannot come from elsewhere; join it with: ${joinCommand(known)}`,
    )
  }
  if (known) {
    refuseOtherVni(known, vni)
    return known
  }
  const overlay = {
    name,
    vni: vniOfNew(view, name, vni),
    pool: null,
    subnetLength: null,
    pool6: null,
  }
  operations.push({ put: keys.overlay(name), value: encodeOverlay(overlay) })
  return overlay
}

/**
 * Whether the overlay's record should get that IPv6 pool: it is pooled and has none, and the pool is no
 * other overlay's, with which it could not stand.
 */
export function lacksPool6(
  view: ClusterView,
  { name, pool, pool6 }: OverlayRecord,
  wanted: Cidr6 | null,
): boolean {
  if (wanted === null || pool === null || pool6 !== null) return false
  const others = view.overlays.values().filter((other) => other.name !== name)
  return !others.some((other) => other.pool6 && overlaps6(other.pool6, wanted))
}

/** The overlay that owns exactly this pool. */
export function overlayOfPool(view: ClusterView, pool: Cidr): OverlayRecord | undefined {
  return view.overlays.values().find((overlay) => overlay.pool && sameCidr(overlay.pool, pool))
}
