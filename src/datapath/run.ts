import { load16, load32, store16 } from '../packet/bytes.ts'
import { pseudoHeaderSum } from '../packet/checksum.ts'
import { type InnerPacket, KIND_TCP, KIND_UDP } from '../packet/classify.ts'
import { FRAGMENT, IPV4_LENGTH, sealHeader, TOS, TOTAL_LENGTH, TTL } from '../packet/ipv4.ts'
import {
  ACK,
  ECE,
  PSH,
  TCP_ACKNOWLEDGMENT,
  TCP_CHECKSUM,
  TCP_FLAGS,
  TCP_LENGTH,
  TCP_SEQUENCE,
  TCP_WINDOW,
} from '../packet/tcp.ts'
import { UDP_CHECKSUM, UDP_TOTAL } from '../packet/udp.ts'
import {
  GSO_TCPV4,
  GSO_UDP,
  VNET_LENGTH,
  writePartialVnet,
  writePlainVnet,
} from '../packet/vnet-header.ts'
import { Gather } from './gather.ts'
import { MAX_COALESCED, MAX_SEGMENTS } from './limits.ts'
import type { PacketMemory } from './packet-memory.ts'

const MAX_PIECES = 128

/**
 * Consecutive segments of one flow on their way to become a super-packet. The first packet lies whole
 * in memory and its headers become the super-packet's; of the others only the payload is kept.
 */
export class Run {
  readonly pieces: Gather
  segments = 0
  readonly #memory: PacketMemory
  /** The first segment. */
  #at = 0
  #transportAt = 0
  #kind = 0
  #source = 0
  #destination = 0
  #protocol = 0
  #ports = 0
  #headers = 0
  #segmentPayload = 0
  #payload = 0
  #nextSequence = 0
  /** Flags of the last segment. */
  #flags = 0
  /** Nothing may follow: PSH, or a short segment. */
  #closed = false

  constructor(memory: PacketMemory) {
    this.#memory = memory
    this.pieces = new Gather(memory, MAX_PIECES)
  }

  /** Whether the packet is of this run's flow: the 5-tuple. */
  isOf(packet: InnerPacket): boolean {
    return (
      this.segments > 0 &&
      this.#source === packet.source &&
      this.#destination === packet.destination &&
      this.#kind === packet.kind &&
      this.#ports === load32(this.#memory.bytes, packet.transportAt)
    )
  }

  begin(packet: InnerPacket): void {
    const { bytes } = this.#memory
    this.#at = packet.at
    this.#transportAt = packet.transportAt
    this.#kind = packet.kind
    this.#source = packet.source
    this.#destination = packet.destination
    this.#protocol = packet.protocol
    this.#ports = load32(bytes, packet.transportAt)
    this.#headers = packet.headerLength + packet.transportHeaderLength
    this.#segmentPayload = packet.payloadLength
    this.#payload = 0
    this.#closed = false
    this.pieces.clear()
    this.pieces.add(packet.at - VNET_LENGTH, VNET_LENGTH + packet.length)
    this.segments = 1
    this.#noteTail(packet)
  }

  /** Whether the candidate continues the run. Its flow is known to be the same. */
  takes(packet: InnerPacket): boolean {
    const { bytes } = this.#memory
    const length = this.#headers + this.#payload + packet.payloadLength
    return (
      !this.#closed &&
      packet.payloadLength <= this.#segmentPayload &&
      length <= MAX_COALESCED &&
      this.segments < (this.#kind === KIND_UDP ? MAX_SEGMENTS : MAX_PIECES) &&
      // Type of service with ECN, time to live, don't-fragment and the reserved bit.
      bytes[packet.at + TOS] === bytes[this.#at + TOS] &&
      bytes[packet.at + TTL] === bytes[this.#at + TTL] &&
      load16(bytes, packet.at + FRAGMENT) === load16(bytes, this.#at + FRAGMENT) &&
      (this.#kind === KIND_UDP || this.#takesTcp(packet))
    )
  }

  append(packet: InnerPacket): void {
    this.pieces.add(packet.payloadAt, packet.payloadLength)
    this.segments++
    this.#noteTail(packet)
  }

  /** Makes the pieces one packet with its virtio header, ready to be written. */
  finish(): void {
    const { bytes } = this.#memory
    const vnet = this.#at - VNET_LENGTH
    if (this.segments === 1) {
      writePlainVnet(bytes, vnet)
      return
    }
    const transport = this.#transportAt
    const transportLength = this.#headers - IPV4_LENGTH + this.#payload
    store16(bytes, this.#at + TOTAL_LENGTH, IPV4_LENGTH + transportLength)
    sealHeader(bytes, this.#at, IPV4_LENGTH)
    const isTcp = this.#kind === KIND_TCP
    if (isTcp) bytes[transport + TCP_FLAGS] = this.#flags
    else store16(bytes, transport + UDP_TOTAL, transportLength)

    // All segments' own checksums were verified; the kernel completes a new one where it is needed.
    const field = isTcp ? TCP_CHECKSUM : UDP_CHECKSUM
    store16(
      bytes,
      transport + field,
      pseudoHeaderSum(this.#source, this.#destination, this.#protocol, transportLength),
    )
    writePartialVnet(
      bytes,
      vnet,
      isTcp ? GSO_TCPV4 : GSO_UDP,
      this.#headers,
      this.#segmentPayload,
      IPV4_LENGTH,
      field,
    )
  }

  clear(): void {
    this.segments = 0
    this.pieces.clear()
  }

  #noteTail(packet: InnerPacket): void {
    this.#payload += packet.payloadLength
    this.#closed = packet.payloadLength < this.#segmentPayload
    if (this.#kind !== KIND_TCP) return
    const { bytes } = this.#memory
    this.#nextSequence =
      (load32(bytes, packet.transportAt + TCP_SEQUENCE) + packet.payloadLength) >>> 0
    this.#flags = bytes[packet.transportAt + TCP_FLAGS]!
    if (this.#flags & PSH) this.#closed = true
  }

  /** Same acknowledgment, window, ECE, header length and options, and the next sequence number. */
  #takesTcp(packet: InnerPacket): boolean {
    const { bytes } = this.#memory
    const first = this.#transportAt
    const next = packet.transportAt
    if (
      load32(bytes, next + TCP_SEQUENCE) !== this.#nextSequence ||
      load32(bytes, next + TCP_ACKNOWLEDGMENT) !== load32(bytes, first + TCP_ACKNOWLEDGMENT) ||
      load16(bytes, next + TCP_WINDOW) !== load16(bytes, first + TCP_WINDOW) ||
      (bytes[next + TCP_FLAGS]! & ECE) !== (this.#flags & ECE) ||
      packet.headerLength + packet.transportHeaderLength !== this.#headers
    ) {
      return false
    }
    for (let i = TCP_LENGTH; i < packet.transportHeaderLength; i++) {
      if (bytes[next + i] !== bytes[first + i]) return false
    }
    return true
  }
}

/**
 * Whether a packet with a verified checksum may be part of a run at all: no IPv4 options, some payload,
 * and of the TCP flags only ACK, PSH and ECE.
 */
export function isCandidate(bytes: Uint8Array, packet: InnerPacket, mergeUdp: boolean): boolean {
  if (packet.headerLength !== IPV4_LENGTH || packet.payloadLength < 1) return false
  if (packet.kind === KIND_TCP) {
    return (bytes[packet.transportAt + TCP_FLAGS]! & ~(PSH | ECE)) === ACK
  }
  return (
    mergeUdp &&
    packet.kind === KIND_UDP &&
    load16(bytes, packet.transportAt + UDP_TOTAL) === packet.length - IPV4_LENGTH
  )
}
