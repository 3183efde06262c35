import { OverlayError } from '../errors.ts'
import { chooseVni } from '../ipam/choose-vni.ts'
import { formatCidr, sameCidr, type Cidr } from '../net/cidr.ts'
import type { Vni } from '../net/vni.ts'
import type { ClusterConfig, ClusterView, OverlayRecord } from '../store/cluster-view.ts'
import type { Keyspace } from '../store/keyspace.ts'
import { encodeOverlay } from '../store/records.ts'
import type { Operation } from '../store/store.ts'
import { joinCommand } from './join-command.ts'

/** The routed overlay of that name, made if there is none. @throws OverlayError conflict if it is pooled */
export function routedOverlay(
  view: ClusterView,
  name: string,
  keys: Keyspace,
  operations: Operation[],
): Pick<OverlayRecord, 'name' | 'vni'> {
  const known = view.overlays.get(name)
  if (known?.pool) {
    throw new OverlayError(
      'conflict',
      `overlay ${name} is pooled (${formatCidr(known.pool)}), so its addresses cannot come from elsewhere; join it with: ${joinCommand(known)}`,
    )
  }
  if (known) return known
  const overlay = { name, vni: nextVni(view, view.config), pool: null, subnetLength: null }
  operations.push({ put: keys.overlay(name), value: encodeOverlay(overlay) })
  return overlay
}

/** The overlay that owns exactly this pool. */
export function overlayOfPool(view: ClusterView, pool: Cidr): OverlayRecord | undefined {
  return view.overlays.values().find((overlay) => overlay.pool && sameCidr(overlay.pool, pool))
}

/** The lowest identifier that neither an overlay nor a lease uses. */
export function nextVni(view: ClusterView, config: ClusterConfig | null): Vni {
  const used = new Set(config ? [config.vni] : [])
  for (const overlay of view.overlays.values()) used.add(overlay.vni)
  for (const lease of view.subnets.values()) used.add(lease.vni)
  return chooseVni(used)
}
