/**
 * struct virtio_net_hdr (include/uapi/linux/virtio_net.h), before every packet of a TUN opened with
 * IFF_VNET_HDR. In the byte order of the host, which is little-endian on every machine Node 24 and
 * koffi run on together.
 *
 *   0       1       2             4            6             8              10
 *   | flags | type  | header len  | gso size   | csum start  | csum offset  | packet
 */
export const VNET_LENGTH = 10

/** The checksum field holds the pseudo header's sum; the rest from csum start is to be added. */
export const NEEDS_CSUM = 1

export const GSO_NONE = 0
export const GSO_TCPV4 = 1
export const GSO_TCPV6 = 4
export const GSO_UDP = 5
/** Modifier of a TCP type: the first segment carries CWR. */
export const GSO_ECN = 0x80

const FLAGS = 0
const GSO_TYPE = 1
const HEADER_LENGTH = 2
const GSO_SIZE = 4
const CSUM_START = 6
const CSUM_OFFSET = 8

export function needsChecksum(bytes: Uint8Array, at: number): boolean {
  return (bytes[at + FLAGS]! & NEEDS_CSUM) !== 0
}

/** The type without its ECN modifier; a value of no GSO_ constant is to be refused. */
export function gsoTypeOf(bytes: Uint8Array, at: number): number {
  return bytes[at + GSO_TYPE]! & ~GSO_ECN
}

/** The type of a TCP super-packet of an IP version. */
export function gsoTypeOfTcp(version: number): number {
  return version === 6 ? GSO_TCPV6 : GSO_TCPV4
}

/** Payload bytes per segment. */
export function gsoSizeOf(bytes: Uint8Array, at: number): number {
  return loadHost16(bytes, at + GSO_SIZE)
}

export function checksumStartOf(bytes: Uint8Array, at: number): number {
  return loadHost16(bytes, at + CSUM_START)
}

export function checksumOffsetOf(bytes: Uint8Array, at: number): number {
  return loadHost16(bytes, at + CSUM_OFFSET)
}

/** A packet that is complete in itself. */
export function writePlainVnet(bytes: Uint8Array, at: number): void {
  // Not fill(), which takes longer than ten stores.
  for (let i = 0; i < VNET_LENGTH; i++) bytes[at + i] = 0
}

/** A packet, or super-packet, whose transport checksum the kernel is to complete. */
export function writePartialVnet(
  bytes: Uint8Array,
  at: number,
  gsoType: number,
  headerLength: number,
  gsoSize: number,
  checksumStart: number,
  checksumOffset: number,
): void {
  bytes[at + FLAGS] = NEEDS_CSUM
  bytes[at + GSO_TYPE] = gsoType
  storeHost16(bytes, at + HEADER_LENGTH, gsoType === GSO_NONE ? 0 : headerLength)
  storeHost16(bytes, at + GSO_SIZE, gsoSize)
  storeHost16(bytes, at + CSUM_START, checksumStart)
  storeHost16(bytes, at + CSUM_OFFSET, checksumOffset)
}

function loadHost16(bytes: Uint8Array, at: number): number {
  return bytes[at]! | (bytes[at + 1]! << 8)
}

function storeHost16(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value
  bytes[at + 1] = value >>> 8
}
