import { OverlayError } from '../errors.ts'
import { chooseVni } from '../ipam/choose-vni.ts'
import type { Vni } from '../net/vni.ts'
import type { ClusterConfig, ClusterView, OverlayRecord } from '../store/cluster-view.ts'

/**
 * The VNI of a new overlay: the one that was asked for, else the lowest that is free.
 * @throws OverlayError conflict when the one asked for is somebody's
 */
export function vniOfNew(view: ClusterView, name: string, asked: Vni | null): Vni {
  if (asked === null) return nextVni(view, view.config)
  const holder = holderOfVni(view, asked)
  if (holder === null) return asked
  throw new OverlayError(
    'conflict',
    `vni=${asked} is taken by ${holder}, so the new overlay ${name} cannot have it; choose another number, or leave vni= out`,
  )
}

/** @throws OverlayError conflict when another VNI is asked for than the overlay has */
export function refuseOtherVni(
  { name, vni }: Pick<OverlayRecord, 'name' | 'vni'>,
  asked: Vni | null,
): void {
  if (asked === null || asked === vni) return
  throw new OverlayError(
    'conflict',
    `overlay ${name} exists already and has the VNI ${vni}, not ${asked}; write vni=${vni}, or leave it out`,
  )
}

/** The lowest identifier that neither an overlay nor a lease uses. */
export function nextVni(view: ClusterView, config: ClusterConfig | null): Vni {
  const used = new Set(config ? [config.vni] : [])
  for (const overlay of view.overlays.values()) used.add(overlay.vni)
  for (const lease of view.subnets.values()) used.add(lease.vni)
  return chooseVni(used)
}

function holderOfVni({ config, overlays, subnets }: ClusterView, vni: Vni): string | null {
  const overlay = overlays.values().find((known) => known.vni === vni)
  if (overlay) return `overlay ${overlay.name}`
  const lease = subnets.values().find((known) => known.vni === vni)
  if (lease)
    return lease.overlay === null ? 'a subnet of another network' : `overlay ${lease.overlay}`
  return config?.vni === vni ? "flannel (the VNI of the cluster's own configuration)" : null
}
