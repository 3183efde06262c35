import { load16, loadInt32, store16 } from './bytes.ts'
import { checksumOf, sumOf } from './checksum.ts'

/**
 * IPv4 (RFC 791 section 3.1).
 *
 *   0       4       8       12      16                             31
 *   |version| IHL   |  type of service  |        total length       |
 *   |         identification        |R|D|M|    fragment offset      |
 *   | time to live  |   protocol    |       header checksum         |
 *   |                        source address                         |
 *   |                     destination address                       |
 *   |                options, to a multiple of four                 |
 */
export const IPV4_LENGTH = 20

export const PROTOCOL_ICMP = 1
export const PROTOCOL_TCP = 6
export const PROTOCOL_UDP = 17

export const VERSION_IHL = 0
export const TOS = 1
export const TOTAL_LENGTH = 2
export const IDENTIFICATION = 4
export const FRAGMENT = 6
export const TTL = 8
export const PROTOCOL = 9
export const HEADER_CHECKSUM = 10
export const SOURCE = 12
export const DESTINATION = 16

export const DONT_FRAGMENT = 0x4000
export const MORE_FRAGMENTS = 0x2000
export const FRAGMENT_OFFSET = 0x1fff

/** The version nibble, which every IP packet begins with. */
export function versionOf(bytes: Uint8Array, at: number): number {
  return bytes[at + VERSION_IHL]! >>> 4
}

/** Header length in bytes, options included: 20 to 60 when the packet is sane. */
export function headerLengthOf(bytes: Uint8Array, at: number): number {
  return (bytes[at + VERSION_IHL]! & 15) * 4
}

export function totalLengthOf(bytes: Uint8Array, at: number): number {
  return load16(bytes, at + TOTAL_LENGTH)
}

export function isFragment(bytes: Uint8Array, at: number): boolean {
  return (load16(bytes, at + FRAGMENT) & (MORE_FRAGMENTS | FRAGMENT_OFFSET)) !== 0
}

/** Whether routers may cut the packet: its sender did not forbid it. */
export function mayFragment(bytes: Uint8Array, at: number): boolean {
  return (load16(bytes, at + FRAGMENT) & DONT_FRAGMENT) === 0
}

/** The address as a signed number (bytes.ts loadInt32). */
export function sourceOf(bytes: Uint8Array, at: number): number {
  return loadInt32(bytes, at + SOURCE)
}

export function destinationOf(bytes: Uint8Array, at: number): number {
  return loadInt32(bytes, at + DESTINATION)
}

export function headerChecksumIsValid(bytes: Uint8Array, at: number, length: number): boolean {
  return sumOf(bytes, at, length) === 0xffff
}

/** Recomputes the header checksum after fields have changed. */
export function sealHeader(bytes: Uint8Array, at: number, length: number): void {
  store16(bytes, at + HEADER_CHECKSUM, 0)
  store16(bytes, at + HEADER_CHECKSUM, checksumOf(sumOf(bytes, at, length)))
}

export function isMulticastOrBroadcast(ip: number): boolean {
  return ip >>> 28 === 0xe || (ip | 0) === -1
}

/**
 * Addresses that name no host on a network: 0/8, loopback 127/8, link-local 169.254/16, multicast
 * 224/4 and the reserved 240/4 with broadcast (RFC 6890 section 2.2.2).
 */
export function isUnroutable(ip: number): boolean {
  const first = ip >>> 24
  return first === 0 || first === 127 || first >= 224 || ip >>> 16 === 0xa9fe
}
