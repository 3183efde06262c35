import { load24, store24 } from './bytes.ts'

/**
 * VXLAN (RFC 7348 section 5).
 *
 *   0                   1                   2                   3
 *   0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
 *   |R|R|R|R|I|R|R|R|            Reserved                           |
 *   |                VXLAN Network Identifier       |   Reserved    |
 *
 * The RFC ignores reserved bits on receipt. Linux drops frames that carry any, since each stands for
 * an extension that changes the meaning of what follows (drivers/net/vxlan/vxlan_core.c, vxlan_rcv).
 */
export const VXLAN_LENGTH = 8

const FLAGS = 0
const RESERVED = 1
const VNI = 4
const RESERVED_LAST = 7

/** The VNI is valid. */
const FLAG_I = 0x08

export function hasVni(bytes: Uint8Array, at: number): boolean {
  return (bytes[at + FLAGS]! & FLAG_I) !== 0
}

export function hasReservedBits(bytes: Uint8Array, at: number): boolean {
  return (
    (bytes[at + FLAGS]! & ~FLAG_I) !== 0 ||
    load24(bytes, at + RESERVED) !== 0 ||
    bytes[at + RESERVED_LAST] !== 0
  )
}

export function vniOf(bytes: Uint8Array, at: number): number {
  return load24(bytes, at + VNI)
}

export function writeVxlan(bytes: Uint8Array, at: number, vni: number): void {
  bytes[at + FLAGS] = FLAG_I
  store24(bytes, at + RESERVED, 0)
  store24(bytes, at + VNI, vni)
  bytes[at + RESERVED_LAST] = 0
}
