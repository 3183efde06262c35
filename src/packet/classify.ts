import { load16 } from './bytes.ts'
import {
  DESTINATION,
  destinationOf,
  headerLengthOf,
  IPV4_LENGTH,
  isFragment,
  PROTOCOL,
  PROTOCOL_TCP,
  PROTOCOL_UDP,
  SOURCE,
  sourceOf,
  totalLengthOf,
  versionOf,
} from './ipv4.ts'
import {
  DESTINATION6,
  DESTINATION_OPTIONS,
  EXTENSION_UNIT,
  extensionLengthOf,
  FRAGMENT_HEADER,
  HOP_BY_HOP,
  IPV6_LENGTH,
  isPart,
  isUnderway,
  MAX_EXTENSIONS,
  NEXT_HEADER,
  payloadLengthOf,
  ROUTING,
  SOURCE6,
} from './ipv6.ts'
import { TCP_LENGTH, tcpLengthOf } from './tcp.ts'
import { UDP_LENGTH, UDP_TOTAL } from './udp.ts'

/** What an inner packet is, of either version. Small integers, since every packet is asked. */
export const KIND_MALFORMED = 0
/** With a whole TCP header. */
export const KIND_TCP = 1
/** With a whole UDP header and a length that fits. */
export const KIND_UDP = 2
/** Any other protocol, or one that stands behind a header that is not walked. */
export const KIND_OTHER = 3
/** A fragment: no transport header is looked for. */
export const KIND_FRAGMENT = 4

/** An inner packet and where its parts lie; one object is used over and over. */
export class InnerPacket {
  kind = KIND_MALFORMED
  /** 4 or 6; of a malformed packet what its first four bits say, or 0. */
  version = 0
  at = 0
  length = 0
  /** IPv4 header with options; IPv6 header with the extension headers that were walked. */
  headerLength = 0
  /** Of what follows the header. */
  protocol = 0
  /** Where the addresses stand: 4 bytes each, or 16. */
  sourceAt = 0
  destinationAt = 0
  /** IPv4 addresses as signed numbers; 0 of an IPv6 packet. */
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
 * The one place that checks bounds: whatever kind it answers other than malformed, every header field
 * below can be read, and the lengths that the packet states are those it has.
 */
export function classify(bytes: Uint8Array, at: number, length: number, into: InnerPacket): void {
  into.kind = KIND_MALFORMED
  into.version = 0
  into.transportHeaderLength = 0
  into.at = at
  into.length = length
  if (length < 1 || at + length > bytes.length) return
  into.version = versionOf(bytes, at)
  if (into.version === 4) classify4(bytes, into)
  else if (into.version === 6) classify6(bytes, into)
}

function classify4(bytes: Uint8Array, packet: InnerPacket): void {
  const { at, length } = packet
  if (length < IPV4_LENGTH) return
  const headerLength = headerLengthOf(bytes, at)
  if (headerLength < IPV4_LENGTH || headerLength > length) return
  if (totalLengthOf(bytes, at) !== length) return

  packet.protocol = bytes[at + PROTOCOL]!
  packet.sourceAt = at + SOURCE
  packet.destinationAt = at + DESTINATION
  packet.source = sourceOf(bytes, at)
  packet.destination = destinationOf(bytes, at)
  endHeader(packet, headerLength)
  packet.kind = isFragment(bytes, at) ? KIND_FRAGMENT : transportKind(bytes, packet)
}

/**
 * Walks the extension headers up to the transport header. A packet that authenticates itself (AH), or
 * that has a routing header with destinations still to visit, is left alone: the walk ends there.
 */
function classify6(bytes: Uint8Array, packet: InnerPacket): void {
  const { at, length } = packet
  if (length < IPV6_LENGTH || payloadLengthOf(bytes, at) !== length - IPV6_LENGTH) return
  packet.sourceAt = at + SOURCE6
  packet.destinationAt = at + DESTINATION6
  packet.source = 0
  packet.destination = 0

  let next = bytes[at + NEXT_HEADER]!
  let headerLength = IPV6_LENGTH
  for (let extensions = 0; ; extensions++) {
    packet.protocol = next
    endHeader(packet, headerLength)
    const isHopByHop = next === HOP_BY_HOP && extensions === 0
    if (
      next !== ROUTING &&
      next !== FRAGMENT_HEADER &&
      next !== DESTINATION_OPTIONS &&
      !isHopByHop
    ) {
      packet.kind = transportKind(bytes, packet)
      return
    }
    const extension = at + headerLength
    if (extensions === MAX_EXTENSIONS || headerLength + EXTENSION_UNIT > length) return
    if (next === ROUTING && isUnderway(bytes, extension)) {
      packet.kind = KIND_OTHER
      return
    }
    headerLength += next === FRAGMENT_HEADER ? EXTENSION_UNIT : extensionLengthOf(bytes, extension)
    if (headerLength > length) return
    if (next === FRAGMENT_HEADER && isPart(bytes, extension)) {
      packet.protocol = bytes[extension]!
      endHeader(packet, headerLength)
      packet.kind = KIND_FRAGMENT
      return
    }
    next = bytes[extension]!
  }
}

/** The rest is payload, until a transport header is found in it. */
function endHeader(packet: InnerPacket, headerLength: number): void {
  packet.headerLength = headerLength
  packet.transportAt = packet.at + headerLength
  packet.payloadAt = packet.transportAt
  packet.payloadLength = packet.length - headerLength
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
