import { OverlayError } from '../errors.ts'
import { formatCidr, sameCidr, type Cidr } from '../net/cidr.ts'
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
  const overlay = { name, vni: vniOfNew(view, name, vni), pool: null, subnetLength: null }
  operations.push({ put: keys.overlay(name), value: encodeOverlay(overlay) })
  return overlay
}

/** The overlay that owns exactly this pool. */
export function overlayOfPool(view: ClusterView, pool: Cidr): OverlayRecord | undefined {
  return view.overlays.values().find((overlay) => overlay.pool && sameCidr(overlay.pool, pool))
}
