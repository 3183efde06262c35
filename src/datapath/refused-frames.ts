import { classify, InnerPacket, KIND_MALFORMED, KIND_TCP } from '../packet/classify.ts'
import { flowHash } from '../packet/flow-hash.ts'
import { mayFragment } from '../packet/ipv4.ts'
import type { PacketSimd } from '../packet/packet-simd.ts'
import { COUNTER, type Counters } from './counters.ts'
import { ENCAPSULATION } from './encapsulate.ts'
import { Fragmenter } from './fragmenter.ts'
import type { FrameSink, SendBatch } from './outbox.ts'
import type { PacketMemory } from './packet-memory.ts'
import type { PathMtu } from './path-mtu.ts'
import { Splitter } from './split.ts'
import type { SubnetMap } from './subnet-map.ts'
import type { TooBigAnswers } from './too-big.ts'

/**
 * Headers of a segment that is cut again: IPv4's and TCP's longest, or IPv6's with some extensions. Those
 * of all the parts that one batch can be cut into then fit the splitter's memory, so that it does not
 * have to flush before the batch is done with.
 */
const MAX_HEADERS = 140

/**
 * Frames that were on their way when the path to their peer turned out to be smaller. TCP segments are
 * cut again and what may be fragmented is, so that nothing is lost; the senders of the rest are told.
 */
export class RefusedFrames {
  readonly #memory: PacketMemory
  readonly #counters: Counters
  readonly #paths: PathMtu
  readonly #tooBig: TooBigAnswers
  readonly #outbox: FrameSink
  /** Of their own: the forwarder's may be in the middle of a packet. */
  readonly #packet = new InnerPacket()
  readonly #splitter: Splitter
  readonly #fragmenter: Fragmenter
  /** Refused frames of the batch that are still to come. */
  #left = 0

  constructor(
    memory: PacketMemory,
    simd: PacketSimd,
    counters: Counters,
    paths: PathMtu,
    tooBig: TooBigAnswers,
    outbox: FrameSink,
  ) {
    this.#memory = memory
    this.#counters = counters
    this.#paths = paths
    this.#tooBig = tooBig
    this.#outbox = outbox
    this.#splitter = new Splitter(memory, simd, outbox)
    this.#fragmenter = new Fragmenter(memory, outbox)
  }

  /** An OnRefused; the map is the one that the batch's peer is numbered by. */
  take(batch: SendBatch, segment: number, map: SubnetMap): void {
    if (!batch.isRetry && this.#putAgain(batch, segment, map)) {
      this.#counters.add(COUNTER.tx_retried)
    } else {
      this.#counters.add(COUNTER.tx_lost_too_big)
    }
  }

  /** @returns whether the frame is on its way again, in parts */
  #putAgain(batch: SendBatch, segment: number, map: SubnetMap): boolean {
    if (this.#left === 0) {
      // What an earlier batch had put again is sent, and its headers are free.
      this.#left = batch.refusedCount
      this.#splitter.reset()
      this.#fragmenter.reset()
    }
    this.#left--
    const { bytes } = this.#memory
    const { pieces, lane, peer, tos } = batch
    const limit = this.#paths.limitOf(peer)
    const length = batch.lengthOf(segment) - ENCAPSULATION
    const piece = batch.firstPiece[segment]!
    const frame = pieces.offsetOf(piece)
    const headerLength = pieces.lengthOf(piece)
    const isApart = batch.firstPiece[segment + 1]! - piece > 1
    const payloadAt = isApart ? pieces.offsetOf(piece + 1) : 0
    const payloadLength = isApart ? pieces.lengthOf(piece + 1) : 0
    if (length <= limit) {
      // A batch is refused as a whole, with a last frame that is small enough.
      this.#outbox.put(lane, peer, tos, frame, headerLength, payloadAt, payloadLength)
      return true
    }
    const packet = this.#packet
    classify(bytes, frame + ENCAPSULATION, length, packet)
    if (packet.kind === KIND_MALFORMED) return false
    if (isApart) packet.payloadAt = payloadAt

    if (packet.kind === KIND_TCP) {
      const entry =
        packet.version === 4
          ? map.lookup(packet.destination)
          : map.lookup6(bytes, packet.destinationAt)
      const headers = packet.headerLength + packet.transportHeaderLength
      if (headers > MAX_HEADERS) return false
      return this.#splitter.split(packet, limit - headers, map, entry, lane, tos)
    }
    if (packet.version === 4 && mayFragment(bytes, packet.at)) {
      this.#fragmenter.mtu = limit
      this.#fragmenter.put(lane, peer, tos, frame, headerLength, payloadAt, payloadLength)
      return true
    }
    this.#tooBig.answer(packet, limit, flowHash(bytes, packet))
    return false
  }
}
