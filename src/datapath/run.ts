import { load16, loadInt32, store16 } from '../packet/bytes.ts'
import { fold, pseudoHeaderSum, pseudoHeaderSum6 } from '../packet/checksum.ts'
import { type InnerPacket, KIND_TCP, KIND_UDP } from '../packet/classify.ts'
import {
  FRAGMENT,
  HEADER_CHECKSUM,
  IDENTIFICATION,
  IPV4_LENGTH,
  sealHeader,
  TOS,
  TOTAL_LENGTH,
  TTL,
} from '../packet/ipv4.ts'
import { HOP_LIMIT, IPV6_LENGTH, isSamePair6, PAYLOAD_LENGTH } from '../packet/ipv6.ts'
import {
  ACK,
  ECE,
  PSH,
  TCP_ACKNOWLEDGMENT,
  TCP_CHECKSUM,
  TCP_DATA_OFFSET,
  TCP_FLAGS,
  TCP_LENGTH,
  TCP_SEQUENCE,
  TCP_URGENT,
  TCP_WINDOW,
} from '../packet/tcp.ts'
import type { PacketSimd } from '../packet/packet-simd.ts'
import { UDP_CHECKSUM, UDP_TOTAL } from '../packet/udp.ts'
import {
  GSO_UDP,
  gsoTypeOfTcp,
  VNET_LENGTH,
  writePartialVnet,
  writePlainVnet,
} from '../packet/vnet-header.ts'
import { ENCAPSULATION } from './encapsulate.ts'
import { Gather } from './gather.ts'
import { MAX_COALESCED, MAX_SEGMENTS } from './limits.ts'
import type { PacketMemory } from './packet-memory.ts'
import type { SegmentMask } from './segment-mask.ts'

const MAX_PIECES = 128

/**
 * Consecutive segments of one flow on their way to become a super-packet. The first packet lies whole
 * in memory and its headers become the super-packet's; of the others only the payload is kept.
 */
export class Run {
  readonly pieces: Gather
  segments = 0
  readonly #memory: PacketMemory
  readonly #simd: PacketSimd
  readonly #mask: SegmentMask
  readonly #view: DataView
  /** The first segment. */
  #at = 0
  #version = 0
  #sourceAt = 0
  #source = 0
  #destination = 0
  #transportAt = 0
  #kind = 0
  #protocol = 0
  #ports = 0
  #ipHeader = 0
  #headers = 0
  #segmentPayload = 0
  #payload = 0
  /** The last segment. */
  #tailAt = 0
  #nextSequence = 0
  /** Flags of the last segment. */
  #flags = 0
  /** Nothing may follow: PSH, or a short segment. */
  #closed = false

  constructor(memory: PacketMemory, simd: PacketSimd, mask: SegmentMask) {
    this.#memory = memory
    this.#simd = simd
    this.#mask = mask
    this.#view = new DataView(memory.bytes.buffer)
    this.pieces = new Gather(memory, MAX_PIECES)
  }

  /** Whether the TCP or UDP packet is of this run's flow: the 5-tuple. */
  isOf(packet: InnerPacket): boolean {
    return (
      this.segments > 0 &&
      this.#ports === loadInt32(this.#memory.bytes, packet.transportAt) &&
      this.#kind === packet.kind &&
      this.isBetween(packet)
    )
  }

  /** Whether the packet has this run's addresses; a fragment may be of its flow. */
  isBetween(packet: InnerPacket): boolean {
    if (this.segments === 0 || this.#version !== packet.version) return false
    if (this.#version === 4) {
      return this.#source === packet.source && this.#destination === packet.destination
    }
    return isSamePair6(this.#view, this.#sourceAt, packet.sourceAt)
  }

  begin(packet: InnerPacket): void {
    const { bytes } = this.#memory
    this.#at = packet.at
    this.#version = packet.version
    this.#sourceAt = packet.sourceAt
    this.#source = packet.source
    this.#destination = packet.destination
    this.#transportAt = packet.transportAt
    this.#kind = packet.kind
    this.#protocol = packet.protocol
    this.#ports = loadInt32(bytes, packet.transportAt)
    this.#ipHeader = packet.headerLength
    this.#headers = packet.headerLength + packet.transportHeaderLength
    this.#segmentPayload = packet.payloadLength
    this.#payload = 0
    this.#closed = false
    this.pieces.clear()
    this.pieces.add(packet.at - VNET_LENGTH, VNET_LENGTH + packet.length)
    this.segments = 1
    this.#noteTail(packet.at, packet.transportAt, packet.payloadLength)
  }

  /** Whether the candidate continues the run. Its flow is known to be the same. */
  takes(packet: InnerPacket): boolean {
    const length = this.#headers + this.#payload + packet.payloadLength
    return (
      !this.#closed &&
      packet.payloadLength <= this.#segmentPayload &&
      length <= MAX_COALESCED &&
      this.segments < (this.#kind === KIND_UDP ? MAX_SEGMENTS : MAX_PIECES) &&
      (this.#version === 4 ? this.#hasSameHeader4(packet) : this.#hasSameHeader6(packet)) &&
      (this.#kind === KIND_UDP || this.#takesTcp(packet))
    )
  }

  append(packet: InnerPacket): void {
    this.pieces.add(packet.payloadAt, packet.payloadLength)
    this.segments++
    this.#noteTail(packet.at, packet.transportAt, packet.payloadLength)
  }

  /**
   * Appends segments of frames that lie right behind the run's last one and are as long, as far as they
   * continue the run: what append() does for a packet that was admitted, verified and taken. All of that
   * follows from their headers being those of the frame before, and from their sequence and checksums.
   * @returns how many; of the next one that is not so, or it takes a closer look
   */
  follow(frameAt: number, length: number, frames: number): number {
    const headers = this.#headers
    const payload = length - ENCAPSULATION - headers
    if (
      this.segments === 0 ||
      this.#closed ||
      frameAt - length !== this.#tailAt - ENCAPSULATION ||
      payload !== this.#segmentPayload
    ) {
      return 0
    }
    const isIpv4 = this.#version === 4
    const isTcp = this.#kind === KIND_TCP
    const transportLength = headers - this.#ipHeader
    const room = Math.floor((MAX_COALESCED - headers - this.#payload) / payload)
    const slots = (isTcp ? MAX_PIECES : MAX_SEGMENTS) - this.segments
    const most = Math.max(0, Math.min(frames, room, slots))
    this.#mask.make(isIpv4, isTcp, transportLength)
    const simd = this.#simd
    const alike = simd.countAlike(frameAt, ENCAPSULATION + headers, length, most, this.#mask.at)
    const next = this.#countNext(frameAt, length, alike, payload)
    const covered = transportLength + payload
    const transport = frameAt + ENCAPSULATION + this.#ipHeader
    // A sum of 0 is one of nothing but zeros, which headers are not.
    const wanted = 0xffff - this.#pseudoSum(covered) || 0xffff
    const valid = simd.countSums(transport, covered, length, next, wanted)
    if (valid === 0) return 0
    const payloadAt = transport + transportLength
    for (let i = 0; i < valid; i++) this.pieces.add(payloadAt + i * length, payload)
    this.segments += valid
    this.#payload += (valid - 1) * payload
    const last = (valid - 1) * length
    this.#noteTail(frameAt + last + ENCAPSULATION, transport + last, payload)
    return valid
  }

  /** How many frames whose headers are alike are next to each other, up to one that nothing may follow. */
  #countNext(frameAt: number, length: number, frames: number, payload: number): number {
    const { view } = this.#memory
    const isIpv4 = this.#version === 4
    const ipSum = isIpv4 ? this.#variableSum4(this.#tailAt) : 0
    let ip = frameAt + ENCAPSULATION
    let sequence = this.#nextSequence
    for (let count = 0; count < frames; count++) {
      // All else being equal, the header sums are if these are.
      if (isIpv4 && this.#variableSum4(ip) !== ipSum) return count
      const transport = ip + this.#ipHeader
      if (this.#kind === KIND_UDP) {
        if (view.getUint16(transport + UDP_CHECKSUM) === 0) return count
      } else {
        if (view.getInt32(transport + TCP_SEQUENCE) !== sequence) return count
        if (view.getUint8(transport + TCP_FLAGS) & PSH) return count + 1
        sequence = (sequence + payload) | 0
      }
      ip += length
    }
    return frames
  }

  #variableSum4(ip: number): number {
    const { view } = this.#memory
    return fold(view.getUint16(ip + IDENTIFICATION) + view.getUint16(ip + HEADER_CHECKSUM))
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
    const transportLength = this.#headers - this.#ipHeader + this.#payload
    const isTcp = this.#kind === KIND_TCP
    if (isTcp) bytes[transport + TCP_FLAGS] = this.#flags
    else store16(bytes, transport + UDP_TOTAL, transportLength)
    this.#storeIpLength(transportLength)

    // All segments' own checksums were verified; the kernel completes a new one where it is needed.
    const field = isTcp ? TCP_CHECKSUM : UDP_CHECKSUM
    store16(bytes, transport + field, this.#pseudoSum(transportLength))
    writePartialVnet(
      bytes,
      vnet,
      isTcp ? gsoTypeOfTcp(this.#version) : GSO_UDP,
      this.#headers,
      this.#segmentPayload,
      this.#ipHeader,
      field,
    )
  }

  clear(): void {
    this.segments = 0
    this.pieces.clear()
  }

  #storeIpLength(transportLength: number): void {
    const { bytes } = this.#memory
    if (this.#version === 4) {
      store16(bytes, this.#at + TOTAL_LENGTH, IPV4_LENGTH + transportLength)
      sealHeader(bytes, this.#at, IPV4_LENGTH)
    } else {
      store16(bytes, this.#at + PAYLOAD_LENGTH, transportLength)
    }
  }

  #pseudoSum(transportLength: number): number {
    return this.#version === 4
      ? pseudoHeaderSum(this.#source, this.#destination, this.#protocol, transportLength)
      : pseudoHeaderSum6(this.#memory.bytes, this.#sourceAt, this.#protocol, transportLength)
  }

  #noteTail(at: number, transportAt: number, payload: number): void {
    this.#tailAt = at
    this.#payload += payload
    this.#closed = payload < this.#segmentPayload
    if (this.#kind !== KIND_TCP) return
    const { bytes } = this.#memory
    this.#nextSequence = (loadInt32(bytes, transportAt + TCP_SEQUENCE) + payload) | 0
    this.#flags = bytes[transportAt + TCP_FLAGS]!
    if (this.#flags & PSH) this.#closed = true
  }

  /** Type of service with ECN, time to live, don't-fragment and the reserved bit. */
  #hasSameHeader4(packet: InnerPacket): boolean {
    const { bytes } = this.#memory
    return (
      bytes[packet.at + TOS] === bytes[this.#at + TOS] &&
      bytes[packet.at + TTL] === bytes[this.#at + TTL] &&
      load16(bytes, packet.at + FRAGMENT) === load16(bytes, this.#at + FRAGMENT)
    )
  }

  /** Traffic class with ECN, flow label and hop limit. */
  #hasSameHeader6(packet: InnerPacket): boolean {
    const { bytes } = this.#memory
    return (
      loadInt32(bytes, packet.at) === loadInt32(bytes, this.#at) &&
      bytes[packet.at + HOP_LIMIT] === bytes[this.#at + HOP_LIMIT]
    )
  }

  /**
   * The next sequence number, and the same acknowledgment, window, ECE, urgent pointer, header length,
   * reserved bits and options.
   */
  #takesTcp(packet: InnerPacket): boolean {
    const { bytes } = this.#memory
    const first = this.#transportAt
    const next = packet.transportAt
    if (
      loadInt32(bytes, next + TCP_SEQUENCE) !== this.#nextSequence ||
      loadInt32(bytes, next + TCP_ACKNOWLEDGMENT) !==
        loadInt32(bytes, first + TCP_ACKNOWLEDGMENT) ||
      load16(bytes, next + TCP_WINDOW) !== load16(bytes, first + TCP_WINDOW) ||
      (bytes[next + TCP_FLAGS]! & ECE) !== (this.#flags & ECE) ||
      load16(bytes, next + TCP_URGENT) !== load16(bytes, first + TCP_URGENT) ||
      bytes[next + TCP_DATA_OFFSET] !== bytes[first + TCP_DATA_OFFSET]
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
 * Whether a packet with a verified checksum may be part of a run at all: no IPv4 options, no IPv6
 * extension headers, some payload, and of the TCP flags only ACK, PSH and ECE.
 */
export function isCandidate(bytes: Uint8Array, packet: InnerPacket, mergeUdp: boolean): boolean {
  const plainHeader = packet.version === 4 ? IPV4_LENGTH : IPV6_LENGTH
  if (packet.headerLength !== plainHeader || packet.payloadLength < 1) return false
  if (packet.kind === KIND_TCP) {
    return (bytes[packet.transportAt + TCP_FLAGS]! & ~(PSH | ECE)) === ACK
  }
  return mergeUdp && packet.kind === KIND_UDP && isWholeDatagram(bytes, packet)
}

/** Whether a UDP packet ends where its datagram does: no UDP options follow. */
export function isWholeDatagram(bytes: Uint8Array, packet: InnerPacket): boolean {
  return load16(bytes, packet.transportAt + UDP_TOTAL) === packet.length - packet.headerLength
}
