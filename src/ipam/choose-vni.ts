import { OverlayError } from '../errors.ts'
import { FIRST_OVERLAY_VNI, MAX_VNI, type Vni } from '../net/vni.ts'

/** The lowest VNI that no overlay has. @throws OverlayError exhausted */
export function chooseVni(used: ReadonlySet<Vni>): Vni {
  for (let vni = FIRST_OVERLAY_VNI; vni <= MAX_VNI; vni++) if (!used.has(vni)) return vni
  throw new OverlayError(
    'exhausted',
    `no VXLAN network identifier is free: all of ${FIRST_OVERLAY_VNI} to ${MAX_VNI} belong to overlays; remove networks that nobody uses`,
  )
}
