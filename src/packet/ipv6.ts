import { load16, store16 } from './bytes.ts'

/**
 * IPv6 (RFC 8200 section 3). There is no header checksum.
 *
 *   0       4               12      16              24             31
 *   |version| traffic class |              flow label               |
 *   |        payload length         |  next header  |   hop limit   |
 *   |                   source address, 16 bytes                    |
 *   |                 destination address, 16 bytes                 |
 *
 * Extension headers follow, which count as payload. All but the fragment header begin with
 *
 *   |  next header  | length: eight-byte units after the first eight |
 */
export const IPV6_LENGTH = 40

export const PAYLOAD_LENGTH = 4
export const NEXT_HEADER = 6
export const HOP_LIMIT = 7
export const SOURCE6 = 8
export const DESTINATION6 = 24
export const ADDRESS6_LENGTH = 16

/** Next headers that are extensions, as far as they are walked: RFC 8200 section 4. */
export const HOP_BY_HOP = 0
export const ROUTING = 43
export const FRAGMENT_HEADER = 44
export const DESTINATION_OPTIONS = 60
export const PROTOCOL_ICMPV6 = 58

/** What every link carries (RFC 8200 section 5). */
export const LEAST_MTU6 = 1280

/** RFC 8200 section 4.1 names seven places for extension headers. */
export const MAX_EXTENSIONS = 8

/** Extension headers are multiples of eight bytes; the fragment header is eight. */
export const EXTENSION_UNIT = 8

/** Where a routing header (RFC 8200 section 4.4) counts the addresses still to be visited. */
const SEGMENTS_LEFT = 3

/** Where a fragment header (section 4.5) has the offset, two reserved bits and the bit of more to come. */
const FRAGMENT_OFFSET = 2
const OFFSET_AND_MORE = 0xfff9

export function payloadLengthOf(bytes: Uint8Array, at: number): number {
  return load16(bytes, at + PAYLOAD_LENGTH)
}

/** What IPv4 calls the type of service: six bits of DSCP, two of ECN. */
export function trafficClassOf(bytes: Uint8Array, at: number): number {
  return ((bytes[at]! & 15) << 4) | (bytes[at + 1]! >>> 4)
}

export function storeTrafficClass(bytes: Uint8Array, at: number, value: number): void {
  store16(bytes, at, (load16(bytes, at) & 0xf00f) | (value << 4))
}

/** Length of the extension header at `at`, fragment header not meant. */
export function extensionLengthOf(bytes: Uint8Array, at: number): number {
  return (bytes[at + 1]! + 1) * EXTENSION_UNIT
}

/** Whether the packet, at its routing header, has yet to visit another destination than its present one. */
export function isUnderway(bytes: Uint8Array, routingAt: number): boolean {
  return bytes[routingAt + SEGMENTS_LEFT] !== 0
}

/** Whether a fragment header stands for a part of a packet: alone, it may stand for the whole (RFC 6946). */
export function isPart(bytes: Uint8Array, fragmentAt: number): boolean {
  return (load16(bytes, fragmentAt + FRAGMENT_OFFSET) & OFFSET_AND_MORE) !== 0
}

/** Whether a fragment header stands before the first part, the one with the transport header. */
export function isFirstPart(bytes: Uint8Array, fragmentAt: number): boolean {
  return (load16(bytes, fragmentAt + FRAGMENT_OFFSET) & ~7) === 0
}

/** ff00::/8. There is no broadcast. */
export function isMulticast6(bytes: Uint8Array, addressAt: number): boolean {
  return bytes[addressAt] === 0xff
}

/** fe80::/10. */
export function isLinkLocal6(bytes: Uint8Array, addressAt: number): boolean {
  return bytes[addressAt] === 0xfe && (bytes[addressAt + 1]! & 0xc0) === 0x80
}

/**
 * Addresses that name no host on a network (RFC 4291 section 2): unspecified, loopback, those that hold
 * an IPv4 address (::/96 and ::ffff:0:0/96), link-local and multicast.
 */
export function isUnroutable6(bytes: Uint8Array, addressAt: number): boolean {
  if (isMulticast6(bytes, addressAt) || isLinkLocal6(bytes, addressAt)) return true
  for (let i = 0; i < 10; i++) if (bytes[addressAt + i] !== 0) return false
  const before = load16(bytes, addressAt + 10)
  return before === 0 || before === 0xffff
}

/** Whether two packets, whose source addresses are at these offsets, have the same source and destination. */
export function isSamePair6(view: DataView, a: number, b: number): boolean {
  return (
    isSameAddress6(view, a, b) && isSameAddress6(view, a + ADDRESS6_LENGTH, b + ADDRESS6_LENGTH)
  )
}

/** In words, which a DataView reads at any alignment. */
function isSameAddress6(view: DataView, a: number, b: number): boolean {
  return (
    view.getInt32(a) === view.getInt32(b) &&
    view.getInt32(a + 4) === view.getInt32(b + 4) &&
    view.getInt32(a + 8) === view.getInt32(b + 8) &&
    view.getInt32(a + 12) === view.getInt32(b + 12)
  )
}
