/**
 * Ethernet II (IEEE 802.3), the inner header of a VXLAN frame. No VLAN tag: RFC 7348 section 6.1.
 *
 *   0                  6                  12        14
 *   | destination MAC  |   source MAC     | type    | payload
 */
export const ETHERNET_LENGTH = 14
export const ETHERTYPE_IPV4 = 0x0800
export const ETHERTYPE_ARP = 0x0806
export const ETHERTYPE_IPV6 = 0x86dd

const DESTINATION = 0
const SOURCE = 6
const TYPE = 12
const MAC_LENGTH = 6

/** The type of an IP packet of version 4 or 6. */
export function etherTypeOfIp(version: number): number {
  return version === 6 ? ETHERTYPE_IPV6 : ETHERTYPE_IPV4
}

export function etherType(bytes: Uint8Array, at: number): number {
  return (bytes[at + TYPE]! << 8) | bytes[at + TYPE + 1]!
}

/** Whether the destination is the MAC that stands at `macAt` of `mac`. */
export function isTo(bytes: Uint8Array, at: number, mac: Uint8Array, macAt = 0): boolean {
  return sameMac(bytes, at + DESTINATION, mac, macAt)
}

export function isFrom(bytes: Uint8Array, at: number, mac: Uint8Array, macAt = 0): boolean {
  return sameMac(bytes, at + SOURCE, mac, macAt)
}

/** Writes the 14 bytes; the MACs are read at offsets of tables. */
export function writeEthernet(
  bytes: Uint8Array,
  at: number,
  destination: Uint8Array,
  destinationAt: number,
  source: Uint8Array,
  sourceAt: number,
  type: number,
): void {
  for (let i = 0; i < MAC_LENGTH; i++) {
    bytes[at + DESTINATION + i] = destination[destinationAt + i]!
    bytes[at + SOURCE + i] = source[sourceAt + i]!
  }
  bytes[at + TYPE] = type >>> 8
  bytes[at + TYPE + 1] = type
}

function sameMac(a: Uint8Array, aAt: number, b: Uint8Array, bAt: number): boolean {
  for (let i = 0; i < MAC_LENGTH; i++) if (a[aAt + i] !== b[bAt + i]) return false
  return true
}
