import { load16 } from './bytes.ts'
import {
  destinationOf,
  headerLengthOf,
  IPV4_LENGTH,
  isFragment,
  PROTOCOL,
  PROTOCOL_TCP,
  PROTOCOL_UDP,
  sourceOf,
  totalLengthOf,
  versionOf,
} from './ipv4.ts'
import { TCP_LENGTH, tcpLengthOf } from './tcp.ts'
import { UDP_LENGTH, UDP_TOTAL } from './udp.ts'

/** What an inner packet is. Small integers, since every packet is asked. */
export const KIND_MALFORMED = 0
export const KIND_IPV6 = 1
/** IPv4 with a whole TCP header. */
export const KIND_TCP = 2
/** IPv4 with a whole UDP header and a length that fits. */
export const KIND_UDP = 3
/** IPv4 of any other protocol. */
export const KIND_OTHER = 4
/** A fragment of IPv4: no transport header is looked for. */
export const KIND_FRAGMENT = 5

/** An inner packet and where its parts lie; one object is used over and over. */
export class InnerPacket {
  kind = KIND_MALFORMED
  at = 0
  length = 0
  /** IPv4 header with options. */
  headerLength = 0
  protocol = 0
  source = 0
  destination = 0
  /** First byte of the transport header. */
  transportAt = 0
  /** Transport header alone; 0 unless TCP or UDP. */
  transportHeaderLength = 0
  payloadAt = 0
  payloadLength = 0
}

/**
 * The one place that checks bounds: whatever kind it answers other than malformed or IPv6, every
 * header field below can be read, and the lengths that the packet states are those it has.
 */
export function classify(bytes: Uint8Array, at: number, length: number, into: InnerPacket): void {
  into.kind = KIND_MALFORMED
  into.transportHeaderLength = 0
  into.at = at
  into.length = length
  if (length < 1 || at + length > bytes.length) return
  const version = versionOf(bytes, at)
  if (version === 6) {
    into.kind = KIND_IPV6
    return
  }
  if (version !== 4 || length < IPV4_LENGTH) return
  const headerLength = headerLengthOf(bytes, at)
  if (headerLength < IPV4_LENGTH || headerLength > length) return
  if (totalLengthOf(bytes, at) !== length) return

  into.headerLength = headerLength
  into.protocol = bytes[at + PROTOCOL]!
  into.source = sourceOf(bytes, at)
  into.destination = destinationOf(bytes, at)
  into.transportAt = at + headerLength
  into.kind = isFragment(bytes, at) ? KIND_FRAGMENT : transportKind(bytes, into)
}

function transportKind(bytes: Uint8Array, packet: InnerPacket): number {
  const present = packet.length - packet.headerLength
  let kind = KIND_OTHER
  let headerLength = 0
  if (packet.protocol === PROTOCOL_TCP) {
    if (present < TCP_LENGTH) return KIND_MALFORMED
    headerLength = tcpLengthOf(bytes, packet.transportAt)
    if (headerLength < TCP_LENGTH || headerLength > present) return KIND_MALFORMED
    kind = KIND_TCP
  } else if (packet.protocol === PROTOCOL_UDP) {
    if (present < UDP_LENGTH) return KIND_MALFORMED
    // Shorter than what is present is legal: UDP options live in the rest (RFC 9868).
    const stated = load16(bytes, packet.transportAt + UDP_TOTAL)
    if (stated < UDP_LENGTH || stated > present) return KIND_MALFORMED
    headerLength = UDP_LENGTH
    kind = KIND_UDP
  }
  packet.transportHeaderLength = headerLength
  packet.payloadAt = packet.transportAt + headerLength
  packet.payloadLength = present - headerLength
  return kind
}
