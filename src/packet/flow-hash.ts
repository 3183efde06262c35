import { load32 } from './bytes.ts'
import type { InnerPacket } from './classify.ts'
import { KIND_TCP, KIND_UDP } from './classify.ts'

/**
 * A number that is equal for all packets of one flow and spreads different flows, for the outer source
 * port (RFC 7348 section 5: "a hash of fields from the inner packet"). Addresses and protocol only for
 * fragments, of which only the first has ports: all of a datagram must take one path.
 */
export function flowHash(bytes: Uint8Array, packet: InnerPacket): number {
  const ported = packet.kind === KIND_TCP || packet.kind === KIND_UDP
  const ports = ported ? load32(bytes, packet.transportAt) : 0
  let hash = Math.imul(packet.source ^ 0x9e3779b9, 0x85ebca6b)
  hash = Math.imul(hash ^ (hash >>> 15) ^ packet.destination, 0xc2b2ae35)
  hash = Math.imul(hash ^ (hash >>> 13) ^ ports, 0x27d4eb2f)
  hash ^= packet.protocol + (hash >>> 16)
  return hash >>> 0
}
