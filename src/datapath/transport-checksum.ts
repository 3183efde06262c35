import { load16, store16 } from '../packet/bytes.ts'
import { checksumOf, fold, pseudoHeaderSum, pseudoHeaderSum6 } from '../packet/checksum.ts'
import { type InnerPacket, KIND_TCP, KIND_UDP } from '../packet/classify.ts'
import { ADDRESS6_LENGTH } from '../packet/ipv6.ts'
import { TCP_CHECKSUM } from '../packet/tcp.ts'
import { UDP_CHECKSUM, UDP_TOTAL } from '../packet/udp.ts'

/** The sum of packet memory, as checksum.ts sumOf(). */
export type SumBytes = (at: number, length: number) => number

/** Nothing to check: no TCP or UDP, a fragment, or UDP without a checksum. */
export const CHECKSUM_NONE = 0
export const CHECKSUM_VALID = 1
/** The field holds the pseudo header's sum: the sender left the rest to a device that never came. */
export const CHECKSUM_PARTIAL = 2
export const CHECKSUM_BAD = 3

/** Offset of the checksum field in the transport header of a TCP or UDP packet. */
export function checksumFieldOf(packet: InnerPacket): number {
  return packet.kind === KIND_UDP ? UDP_CHECKSUM : TCP_CHECKSUM
}

/** Bytes the transport checksum covers. */
function coveredLength(bytes: Uint8Array, packet: InnerPacket): number {
  return packet.kind === KIND_UDP
    ? load16(bytes, packet.transportAt + UDP_TOTAL)
    : packet.length - packet.headerLength
}

/** The pseudo header's sum for the packet's addresses and protocol and a length of one's own. */
export function pseudoSumFor(bytes: Uint8Array, packet: InnerPacket, length: number): number {
  return packet.version === 6
    ? pseudoHeaderSum6(bytes, packet.sourceAt, packet.protocol, length)
    : pseudoHeaderSum(packet.source, packet.destination, packet.protocol, length)
}

/** The pseudo header's sum for the packet as it stands: what a partial checksum field holds. */
export function pseudoSumOf(bytes: Uint8Array, packet: InnerPacket): number {
  return pseudoSumFor(bytes, packet, coveredLength(bytes, packet))
}

/** Judges the checksum of a received packet. */
export function verify(bytes: Uint8Array, packet: InnerPacket, sum: SumBytes): number {
  if (packet.kind !== KIND_TCP && packet.kind !== KIND_UDP) return CHECKSUM_NONE
  const field = load16(bytes, packet.transportAt + checksumFieldOf(packet))
  if (packet.kind === KIND_UDP && field === 0) return CHECKSUM_NONE
  const covered = coveredLength(bytes, packet)
  const pseudo =
    packet.version === 6
      ? fold(sum(packet.sourceAt, 2 * ADDRESS6_LENGTH) + packet.protocol + covered)
      : pseudoHeaderSum(packet.source, packet.destination, packet.protocol, covered)
  if (fold(pseudo + sum(packet.transportAt, covered)) === 0xffff) return CHECKSUM_VALID
  // A device completes a checksum up to the packet's end.
  const isWhole = covered === packet.length - packet.headerLength
  return isWhole && field === pseudo ? CHECKSUM_PARTIAL : CHECKSUM_BAD
}

/**
 * Completes a checksum that the kernel left partial (virtio_net_hdr.flags NEEDS_CSUM). Start and offset
 * are the header's words and may lie.
 * @returns whether they describe a field inside the packet
 */
export function complete(
  bytes: Uint8Array,
  packet: InnerPacket,
  start: number,
  offset: number,
  sum: SumBytes,
): boolean {
  if (start < packet.headerLength || start + offset + 2 > packet.length) return false
  // The field takes part in the sum: it holds the pseudo header's.
  const checksum = checksumOf(sum(packet.at + start, packet.length - start))
  // Zero would tell a UDP receiver that there is no checksum (RFC 768). The field's place tells UDP
  // from TCP, wherever the header stands: in a tunnel of the container's own, say.
  const sent = checksum === 0 && offset === UDP_CHECKSUM ? 0xffff : checksum
  store16(bytes, packet.at + start + offset, sent)
  return true
}
