import { load16, load32, store16, store32 } from '../packet/bytes.ts'
import { checksumOf, fold, pseudoHeaderSum, sumOf } from '../packet/checksum.ts'
import { type InnerPacket, KIND_UDP } from '../packet/classify.ts'
import { HEADER_CHECKSUM, IDENTIFICATION, TOTAL_LENGTH } from '../packet/ipv4.ts'
import { CWR, FIN, PSH, TCP_CHECKSUM, TCP_FLAGS, TCP_SEQUENCE } from '../packet/tcp.ts'
import { UDP_CHECKSUM, UDP_TOTAL } from '../packet/udp.ts'
import { ENCAPSULATION, encapsulate } from './encapsulate.ts'
import type { FrameSink } from './outbox.ts'
import type { PacketMemory } from './packet-memory.ts'
import type { SubnetMap } from './subnet-map.ts'
import type { SumBytes } from './transport-checksum.ts'

/** VXLAN, Ethernet, the longest IPv4 and the longest TCP header, in whole words: 22 + 60 + 60. */
const SLOT = 144
const SLOTS = 512

/**
 * Cuts super-packets from the TUN into frames, each a header of its own and a pointer into the payload.
 * The rules are those of the kernel's segmentation (net/ipv4/tcp_offload.c tcp_gso_segment,
 * net/ipv4/udp_offload.c): every field that differs between segments is zero in a template, and the
 * sums of the template are taken once.
 */
export class Splitter {
  readonly #memory: PacketMemory
  readonly #sum: SumBytes
  readonly #outbox: FrameSink
  readonly #template: number
  readonly #slots: number
  #nextSlot = 0

  constructor(memory: PacketMemory, sum: SumBytes, outbox: FrameSink) {
    this.#memory = memory
    this.#sum = sum
    this.#outbox = outbox
    this.#template = memory.reserve(SLOT)
    this.#slots = memory.reserve(SLOT * SLOTS)
  }

  /** Header slots may be used again once the outbox is flushed. */
  reset(): void {
    this.#nextSlot = 0
  }

  /** @param segmentPayload transport payload bytes of each frame, at least 1 */
  split(
    packet: InnerPacket,
    segmentPayload: number,
    map: SubnetMap,
    entry: number,
    hash: number,
    tos: number,
  ): void {
    if (packet.kind === KIND_UDP) this.#splitUdp(packet, segmentPayload, map, entry, hash, tos)
    else this.#splitTcp(packet, segmentPayload, map, entry, hash, tos)
  }

  #splitTcp(
    packet: InnerPacket,
    segmentPayload: number,
    map: SubnetMap,
    entry: number,
    hash: number,
    tos: number,
  ): void {
    const { bytes } = this.#memory
    const { headerLength, transportHeaderLength, payloadLength } = packet
    const destination = map.publicIp(entry)
    const headers = headerLength + transportHeaderLength
    const firstId = load16(bytes, packet.at + IDENTIFICATION)
    const firstSequence = load32(bytes, packet.transportAt + TCP_SEQUENCE)
    const flags = bytes[packet.transportAt + TCP_FLAGS]!

    const template = this.#writeTemplate(packet, map, entry)
    const transport = template + ENCAPSULATION + headerLength
    store32(bytes, transport + TCP_SEQUENCE, 0)
    bytes[transport + TCP_FLAGS] = 0
    store16(bytes, transport + TCP_CHECKSUM, 0)
    const ipSum = sumOf(bytes, template + ENCAPSULATION, headerLength)
    const transportSum =
      pseudoHeaderSum(packet.source, packet.destination, packet.protocol, 0) +
      sumOf(bytes, transport, transportHeaderLength)

    for (let done = 0, index = 0; done < payloadLength; index++) {
      const length = Math.min(segmentPayload, payloadLength - done)
      const slot = this.#copyTemplate(headers)
      const ip = slot + ENCAPSULATION
      this.#finishIp(ip, ipSum, headers + length, (firstId + index) & 0xffff)

      const isFirst = index === 0
      const isLast = done + length === payloadLength
      const segmentFlags = flags & (isLast ? 0xff : ~(FIN | PSH)) & (isFirst ? 0xff : ~CWR)
      const sequence = (firstSequence + done) >>> 0
      const tcp = ip + headerLength
      store32(bytes, tcp + TCP_SEQUENCE, sequence)
      bytes[tcp + TCP_FLAGS] = segmentFlags
      const checksum = checksumOf(
        transportSum +
          (sequence >>> 16) +
          (sequence & 0xffff) +
          segmentFlags +
          transportHeaderLength +
          length +
          this.#sum(packet.payloadAt + done, length),
      )
      store16(bytes, tcp + TCP_CHECKSUM, checksum)

      const frame = ENCAPSULATION + headers
      this.#outbox.put(hash, destination, tos, slot, frame, packet.payloadAt + done, length)
      done += length
    }
  }

  #splitUdp(
    packet: InnerPacket,
    segmentPayload: number,
    map: SubnetMap,
    entry: number,
    hash: number,
    tos: number,
  ): void {
    const { bytes } = this.#memory
    const { headerLength, transportHeaderLength, payloadLength } = packet
    const destination = map.publicIp(entry)
    const headers = headerLength + transportHeaderLength
    const firstId = load16(bytes, packet.at + IDENTIFICATION)

    const template = this.#writeTemplate(packet, map, entry)
    const transport = template + ENCAPSULATION + headerLength
    store16(bytes, transport + UDP_TOTAL, 0)
    store16(bytes, transport + UDP_CHECKSUM, 0)
    const ipSum = sumOf(bytes, template + ENCAPSULATION, headerLength)
    const transportSum =
      pseudoHeaderSum(packet.source, packet.destination, packet.protocol, 0) +
      sumOf(bytes, transport, transportHeaderLength)

    for (let done = 0, index = 0; done < payloadLength; index++) {
      const length = Math.min(segmentPayload, payloadLength - done)
      const slot = this.#copyTemplate(headers)
      const ip = slot + ENCAPSULATION
      this.#finishIp(ip, ipSum, headers + length, (firstId + index) & 0xffff)

      const udp = ip + headerLength
      const total = transportHeaderLength + length
      store16(bytes, udp + UDP_TOTAL, total)
      // The length stands in the header and in the pseudo header. Zero would mean "no checksum".
      const sum = transportSum + total + total + this.#sum(packet.payloadAt + done, length)
      store16(bytes, udp + UDP_CHECKSUM, checksumOf(sum) || 0xffff)

      const frame = ENCAPSULATION + headers
      this.#outbox.put(hash, destination, tos, slot, frame, packet.payloadAt + done, length)
      done += length
    }
  }

  /** Encapsulation and the packet's headers, without IPv4 length, identification and checksum. */
  #writeTemplate(packet: InnerPacket, map: SubnetMap, entry: number): number {
    const { bytes } = this.#memory
    const at = this.#template
    encapsulate(bytes, at, map, entry, packet.version)
    const ip = at + ENCAPSULATION
    bytes.copyWithin(ip, packet.at, packet.payloadAt)
    store16(bytes, ip + TOTAL_LENGTH, 0)
    store16(bytes, ip + IDENTIFICATION, 0)
    store16(bytes, ip + HEADER_CHECKSUM, 0)
    return at
  }

  #copyTemplate(headers: number): number {
    if (this.#nextSlot === SLOTS) {
      this.#outbox.flush()
      this.#nextSlot = 0
    }
    const slot = this.#slots + this.#nextSlot++ * SLOT
    const { words } = this.#memory
    const count = (ENCAPSULATION + headers + 3) >>> 2
    const from = this.#template >>> 2
    const to = slot >>> 2
    for (let i = 0; i < count; i++) words[to + i] = words[from + i]!
    return slot
  }

  #finishIp(ip: number, templateSum: number, totalLength: number, id: number): void {
    const { bytes } = this.#memory
    store16(bytes, ip + TOTAL_LENGTH, totalLength)
    store16(bytes, ip + IDENTIFICATION, id)
    store16(bytes, ip + HEADER_CHECKSUM, checksumOf(fold(templateSum + totalLength + id)))
  }
}
