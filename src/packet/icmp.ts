/**
 * "Too big" of ICMP (RFC 792, with the MTU of RFC 1191 section 4: type 3, code 4) and of ICMPv6
 * (RFC 4443 section 3.2: type 2, code 0).
 *
 *   0               8               16                             31
 *   |     type      |     code      |           checksum            |
 *   |  ICMP: unused, then next-hop MTU (16 bits); ICMPv6: MTU (32)  |
 *   |     as much of the packet that was too big as may be quoted   |
 */
export const ICMP_LENGTH = 8

export const ICMP_TYPE = 0
export const ICMP_CODE = 1
export const ICMP_CHECKSUM = 2
export const ICMP_MTU = 4

export const ICMP_UNREACHABLE = 3
export const FRAGMENTATION_NEEDED = 4
export const ICMPV6_TOO_BIG = 2

/** Length of an ICMP error as a whole, IP header included (RFC 1812 section 4.3.2.3). */
export const MAX_ICMP_ERROR = 576

/** Length of an ICMPv6 error as a whole: the least MTU of IPv6 (RFC 4443 section 2.4 c). */
export const MAX_ICMPV6_ERROR = 1280

/** One bit for each type that asks or answers: echo, router, timestamp, information, mask. */
const QUERIES = [0, 8, 9, 10, 13, 14, 15, 16, 17, 18].reduce((set, type) => set | (1 << type), 0)

/** An error, or a type unknown here, which could be one: neither is answered (RFC 1122 section 3.2.2). */
export function mayBeIcmpError(type: number): boolean {
  return type > 31 || (QUERIES & (1 << type)) === 0
}

/** RFC 4443 section 2.1: the high bit tells information from errors. */
export function isIcmpv6Error(type: number): boolean {
  return type < 128
}
