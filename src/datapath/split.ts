import { load16, loadInt32, store16, store32 } from '../packet/bytes.ts'
import { checksumOf, sumOf } from '../packet/checksum.ts'
import { type InnerPacket, KIND_TCP } from '../packet/classify.ts'
import { HEADER_CHECKSUM, IDENTIFICATION, TOTAL_LENGTH } from '../packet/ipv4.ts'
import { IPV6_LENGTH, PAYLOAD_LENGTH } from '../packet/ipv6.ts'
import { CWR, FIN, PSH, TCP_CHECKSUM, TCP_FLAGS, TCP_SEQUENCE } from '../packet/tcp.ts'
import { UDP_CHECKSUM, UDP_TOTAL } from '../packet/udp.ts'
import type { PacketSimd } from '../packet/packet-simd.ts'
import { ENCAPSULATION, encapsulate } from './encapsulate.ts'
import { MAX_SEGMENTS } from './limits.ts'
import type { FrameSink } from './outbox.ts'
import type { PacketMemory } from './packet-memory.ts'
import type { SubnetMap } from './subnet-map.ts'
import { pseudoSumFor } from './transport-checksum.ts'

/** Longest IP and transport header that is cut: room for IPv6 extension headers beside TCP's 60 bytes. */
const MAX_HEADERS = 488

/** A template, in whole words: VXLAN, Ethernet and the headers. */
const MAX_TEMPLATE = (ENCAPSULATION + MAX_HEADERS + 3) & ~3

/** The headers of frames that wait to be sent. */
const HEADERS = 64 * 1024

/**
 * Cuts super-packets from the TUN into frames, each a header of its own and a pointer into the payload.
 * The rules are those of the kernel's segmentation (net/ipv4/tcp_offload.c tcp_gso_segment,
 * net/ipv4/udp_offload.c): every field that differs between segments is zero in a template, and the
 * sums of the template are taken once.
 */
export class Splitter {
  readonly #memory: PacketMemory
  readonly #simd: PacketSimd
  readonly #outbox: FrameSink
  readonly #template: number
  readonly #headers: number
  /** Of the payloads of a group of segments. */
  readonly #sums: number
  #used = 0

  constructor(memory: PacketMemory, simd: PacketSimd, outbox: FrameSink) {
    this.#memory = memory
    this.#simd = simd
    this.#outbox = outbox
    this.#template = memory.reserve(MAX_TEMPLATE)
    this.#headers = memory.reserve(HEADERS)
    this.#sums = memory.reserve(MAX_SEGMENTS * 4)
  }

  /** The headers' memory may be used again once the outbox is flushed. */
  reset(): void {
    this.#used = 0
  }

  /**
   * @param packet of TCP or UDP; its payload may lie apart from its headers
   * @param segmentPayload transport payload bytes of each frame, at least 1
   * @returns false, and nothing is sent, if the headers are longer than any sender's
   */
  split(
    packet: InnerPacket,
    segmentPayload: number,
    map: SubnetMap,
    entry: number,
    hash: number,
    tos: number,
  ): boolean {
    const { bytes, ints, view } = this.#memory
    const { headerLength, transportHeaderLength, payloadAt, payloadLength } = packet
    const headers = headerLength + transportHeaderLength
    if (headers > MAX_HEADERS) return false
    const isIpv4 = packet.version === 4
    const isTcp = packet.kind === KIND_TCP
    const destination = map.peer(entry)
    const frame = ENCAPSULATION + headers
    const firstId = isIpv4 ? load16(bytes, packet.at + IDENTIFICATION) : 0
    const firstSequence = isTcp ? loadInt32(bytes, packet.transportAt + TCP_SEQUENCE) : 0
    const flags = isTcp ? bytes[packet.transportAt + TCP_FLAGS]! : 0

    this.#writeTemplate(packet, map, entry)
    const ipAt = this.#template + ENCAPSULATION
    const ipSum = isIpv4 ? sumOf(bytes, ipAt, headerLength) : 0
    const transportSum =
      pseudoSumFor(bytes, packet, transportHeaderLength) +
      sumOf(bytes, ipAt + headerLength, transportHeaderLength)

    const sums = this.#sums >>> 2
    const stride = (frame + 3) & ~3
    for (let done = 0, index = 0; done < payloadLength;) {
      const group = Math.min(
        payloadLength - done,
        segmentPayload * Math.min(MAX_SEGMENTS, this.#roomFor(stride)),
      )
      const count = Math.ceil(group / segmentPayload)
      const slots = this.#headers + this.#used
      this.#used += count * stride
      this.#simd.repeat(this.#template, stride, slots, count)
      this.#simd.sumEach(payloadAt + done, group, segmentPayload, this.#sums)
      const groupAt = payloadAt + done
      for (let i = 0; i < count; i++, index++) {
        const length = Math.min(segmentPayload, payloadLength - done)
        const ip = slots + i * stride + ENCAPSULATION
        if (isIpv4) {
          const total = headers + length
          const id = (firstId + index) & 0xffff
          view.setUint16(ip + TOTAL_LENGTH, total)
          view.setUint16(ip + IDENTIFICATION, id)
          view.setUint16(ip + HEADER_CHECKSUM, checksumOf(ipSum + total + id))
        } else {
          view.setUint16(ip + PAYLOAD_LENGTH, headers - IPV6_LENGTH + length)
        }

        const transport = ip + headerLength
        const sum = transportSum + length + ints[sums + i]!
        if (isTcp) {
          const isLast = done + length === payloadLength
          const ownFlags = flags & (isLast ? 0xff : ~(FIN | PSH)) & (index === 0 ? 0xff : ~CWR)
          const sequence = (firstSequence + done) | 0
          view.setInt32(transport + TCP_SEQUENCE, sequence)
          bytes[transport + TCP_FLAGS] = ownFlags
          const ownSum = sum + (sequence >>> 16) + (sequence & 0xffff) + ownFlags
          view.setUint16(transport + TCP_CHECKSUM, checksumOf(ownSum))
        } else {
          // The length stands in the pseudo header and in the header. Zero would mean "no checksum".
          const total = transportHeaderLength + length
          view.setUint16(transport + UDP_TOTAL, total)
          view.setUint16(transport + UDP_CHECKSUM, checksumOf(sum + total) || 0xffff)
        }
        done += length
      }
      this.#outbox.putEach(
        hash,
        destination,
        tos,
        slots,
        frame,
        stride,
        groupAt,
        group,
        segmentPayload,
      )
    }
    return true
  }

  /** Encapsulation and the packet's headers, without what differs between frames. */
  #writeTemplate(packet: InnerPacket, map: SubnetMap, entry: number): void {
    const { bytes } = this.#memory
    const at = this.#template
    encapsulate(bytes, at, map, entry, packet.version)
    const ip = at + ENCAPSULATION
    this.#simd.repeat(packet.at, packet.headerLength + packet.transportHeaderLength, ip, 1)
    if (packet.version === 4) {
      store16(bytes, ip + TOTAL_LENGTH, 0)
      store16(bytes, ip + IDENTIFICATION, 0)
      store16(bytes, ip + HEADER_CHECKSUM, 0)
    }
    const transport = ip + packet.headerLength
    if (packet.kind === KIND_TCP) {
      store32(bytes, transport + TCP_SEQUENCE, 0)
      bytes[transport + TCP_FLAGS] = 0
      store16(bytes, transport + TCP_CHECKSUM, 0)
    } else {
      store16(bytes, transport + UDP_TOTAL, 0)
      store16(bytes, transport + UDP_CHECKSUM, 0)
    }
  }

  /** How many slots are free; at least one. */
  #roomFor(stride: number): number {
    const room = Math.floor((HEADERS - this.#used) / stride)
    if (room > 0) return room
    this.#outbox.flush()
    this.#used = 0
    return Math.floor(HEADERS / stride)
  }
}
