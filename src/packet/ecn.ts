/**
 * Explicit congestion notification across a tunnel: RFC 6040, normal mode. The two low bits of the
 * type-of-service byte.
 */
export const ECN_MASK = 3
export const NOT_ECT = 0
export const ECT_1 = 1
export const ECT_0 = 2
export const CE = 3

/** RFC 6040 section 4.1: the outer field is a copy of the inner one. */
export function encapsulatedEcn(innerTos: number): number {
  return innerTos & ECN_MASK
}

/** The congestion mark cannot be delivered: the inner sender does not understand it. */
export const ECN_DROP = -1

/**
 * RFC 6040 section 4.2, figure 4: the field to deliver, from the arriving inner and outer ones.
 * Outer CE on an inner Not-ECT means a queue wanted to drop the packet: ECN_DROP.
 */
export function decapsulatedEcn(inner: number, outer: number): number {
  if (outer === CE) return inner === NOT_ECT ? ECN_DROP : CE
  if (outer === ECT_1 && inner === ECT_0) return ECT_1
  return inner
}
