import { loadInt32 } from './bytes.ts'
import type { InnerPacket } from './classify.ts'
import { KIND_TCP, KIND_UDP } from './classify.ts'

/**
 * A number that is equal for all packets of one flow and spreads different flows, for the outer source
 * port (RFC 7348 section 5: "a hash of fields from the inner packet"). Addresses only for fragments, of
 * which only the first has ports: all of a datagram must take one path. And for all but TCP and UDP, so
 * that a large ping goes the way of small ones. IPv6's flow label stands for nothing that ports do not
 * tell, and its sender may change it (RFC 6437 section 3).
 * @returns 31 bits: a larger number would be an object on the heap wherever it is handed on
 */
export function flowHash(bytes: Uint8Array, packet: InnerPacket): number {
  const ported = packet.kind === KIND_TCP || packet.kind === KIND_UDP
  const ports = ported ? loadInt32(bytes, packet.transportAt) : 0
  const protocol = ported ? packet.protocol : 0
  const is6 = packet.version === 6
  const source = is6 ? mixed(bytes, packet.sourceAt) : packet.source
  const destination = is6 ? mixed(bytes, packet.destinationAt) : packet.destination
  let hash = Math.imul(source ^ 0x9e3779b9, 0x85ebca6b)
  hash = Math.imul(hash ^ (hash >>> 15) ^ destination, 0xc2b2ae35)
  hash = Math.imul(hash ^ (hash >>> 13) ^ ports, 0x27d4eb2f)
  hash ^= protocol + (hash >>> 16)
  return hash >>> 1
}

/** An IPv6 address as 32 bits. */
function mixed(bytes: Uint8Array, at: number): number {
  let hash = loadInt32(bytes, at)
  for (let i = 4; i < 16; i += 4) {
    hash = Math.imul(hash ^ (hash >>> 15), 0x85ebca6b) ^ loadInt32(bytes, at + i)
  }
  return hash
}
