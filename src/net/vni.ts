/** VXLAN network identifier: 24 bits (RFC 7348 section 5). Zero means "not known yet" in records. */
export type Vni = number

export const MAX_VNI = 0xff_ffff

/** Where overlays start when one is made: 1 is flannel's own, 2–4095 are left to hand-made devices. */
export const FIRST_OVERLAY_VNI = 4096
