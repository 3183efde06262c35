import { COUNTER, type Counters } from './counters.ts'
import { Gather } from './gather.ts'
import { MAX_SEGMENTS } from './limits.ts'
import type { PacketMemory } from './packet-memory.ts'

/** What the forwarder needs of the underlay. The kernel's sockets implement it, and tests. */
export interface UnderlayPort {
  /** The most that one send takes, in bytes of UDP payload. */
  readonly maxDatagram: number
  /**
   * Sends now, or drops and counts; never waits. Frames that the path does not carry are neither: they
   * are marked by refuse(), and so are those behind them. The batch is reused afterwards.
   */
  send(batch: SendBatch): void
}

/**
 * Frames for one peer from one source port, of equal size except a shorter last one: what one sendmsg
 * with UDP_SEGMENT takes.
 */
export class SendBatch {
  /** Which of the send ports. */
  lane: number
  readonly pieces: Gather
  /** First piece of each frame, and one past the last. */
  readonly firstPiece = new Uint16Array(MAX_SEGMENTS + 1)
  /** Number of the peer in the map that is in use. */
  peer = 0
  /** Outer type of service. */
  tos = 0
  segmentSize = 0
  segments = 0
  /** Whether its frames were put again after the path had refused larger ones. */
  isRetry = false
  /** Frames that the path does not carry. */
  refusedCount = 0
  readonly #refused = new Uint8Array(MAX_SEGMENTS)
  readonly #maxBytes: number
  #closed = false

  constructor(memory: PacketMemory, lane: number, maxBytes: number) {
    this.#maxBytes = maxBytes
    this.lane = lane
    this.pieces = new Gather(memory, MAX_SEGMENTS * 2)
  }

  takes(peer: number, tos: number, length: number): boolean {
    return (
      this.segments > 0 &&
      !this.#closed &&
      this.peer === peer &&
      this.tos === tos &&
      length <= this.segmentSize &&
      this.segments < MAX_SEGMENTS &&
      this.pieces.bytes + length <= this.#maxBytes
    )
  }

  begin(peer: number, tos: number, segmentSize: number): void {
    this.peer = peer
    this.tos = tos
    this.segmentSize = segmentSize
  }

  add(headerAt: number, headerLength: number, payloadAt: number, payloadLength: number): void {
    this.pieces.add(headerAt, headerLength)
    if (payloadLength > 0) this.pieces.add(payloadAt, payloadLength)
    this.segments++
    this.firstPiece[this.segments] = this.pieces.count
    if (headerLength + payloadLength < this.segmentSize) this.#closed = true
  }

  /**
   * Adds frames that are all as long as the batch's, at least one of which it takes.
   * @returns how many it took
   */
  addEach(
    headersAt: number,
    headerLength: number,
    stride: number,
    payloadAt: number,
    payloadLength: number,
    frames: number,
  ): number {
    const room = Math.floor((this.#maxBytes - this.pieces.bytes) / this.segmentSize)
    const count = Math.min(frames, room, MAX_SEGMENTS - this.segments)
    const first = this.pieces.count
    this.pieces.addPairs(headersAt, headerLength, stride, payloadAt, payloadLength, count)
    for (let i = 1; i <= count; i++) this.firstPiece[this.segments + i] = first + 2 * i
    this.segments += count
    return count
  }

  clear(): void {
    this.pieces.clear()
    this.segments = 0
    this.#closed = false
    if (this.refusedCount === 0) return
    this.refusedCount = 0
    this.#refused.fill(0)
  }

  /** Marks a frame as larger than the path carries. */
  refuse(segment: number): void {
    this.#refused[segment] = 1
    this.refusedCount++
  }

  isRefused(segment: number): boolean {
    return this.#refused[segment] === 1
  }

  /** Length of one frame in bytes. */
  lengthOf(segment: number): number {
    const last = this.segments - 1
    return segment < last ? this.segmentSize : this.pieces.bytes - last * this.segmentSize
  }
}

/**
 * What to do with a frame that the path to its peer does not carry; the path is known better by now. It
 * may be put again in smaller parts, with the batch's lane as hash, once: of a batch that isRetry it is
 * lost. Its bytes stay until the call returns, and no flush() may be called in between.
 */
export type OnRefused = (batch: SendBatch, segment: number) => void

/** Takes frames one by one. */
export interface FrameSink {
  /**
   * Queues one frame, given as a header and a payload that lie apart, or as a whole with a payload of
   * no length. The memory stays in use until flush().
   */
  put(
    hash: number,
    peer: number,
    tos: number,
    headerAt: number,
    headerLength: number,
    payloadAt: number,
    payloadLength: number,
  ): void
  /**
   * Queues frames with headers of their own, each at a multiple of a stride, and payloads that lie one behind
   * the other: of a size, but a shorter last one.
   */
  putEach(
    hash: number,
    peer: number,
    tos: number,
    headersAt: number,
    headerLength: number,
    stride: number,
    payloadAt: number,
    payloadLength: number,
    size: number,
  ): void
  /** Sends whatever is queued. */
  flush(): void
}

/**
 * Frames on their way to the underlay. There is one open batch for each send port; a flow always takes
 * the same port, so its frames stay in order.
 */
export class Outbox implements FrameSink {
  readonly #lanes: SendBatch[]
  readonly #counters: Counters
  readonly #port: UnderlayPort
  readonly #onRefused: OnRefused
  /** Takes the place of a batch whose refused frames are put again. */
  readonly #spare: SendBatch

  constructor(
    memory: PacketMemory,
    lanes: number,
    counters: Counters,
    port: UnderlayPort,
    onRefused: OnRefused,
  ) {
    this.#counters = counters
    const batch = (lane: number): SendBatch => new SendBatch(memory, lane, port.maxDatagram)
    this.#lanes = Array.from({ length: lanes }, (_, lane) => batch(lane))
    this.#spare = batch(0)
    this.#port = port
    this.#onRefused = onRefused
  }

  put(
    hash: number,
    peer: number,
    tos: number,
    headerAt: number,
    headerLength: number,
    payloadAt: number,
    payloadLength: number,
  ): void {
    const lane = hash % this.#lanes.length
    const length = headerLength + payloadLength
    let batch = this.#lanes[lane]!
    if (!batch.takes(peer, tos, length)) {
      this.#send(lane)
      batch = this.#lanes[lane]!
      batch.begin(peer, tos, length)
    }
    batch.add(headerAt, headerLength, payloadAt, payloadLength)
  }

  putEach(
    hash: number,
    peer: number,
    tos: number,
    headersAt: number,
    headerLength: number,
    stride: number,
    payloadAt: number,
    payloadLength: number,
    size: number,
  ): void {
    const lane = hash % this.#lanes.length
    let batch = this.#lanes[lane]!
    for (let done = 0, headerAt = headersAt; done < payloadLength;) {
      const length = Math.min(size, payloadLength - done)
      const frame = headerLength + length
      if (!batch.takes(peer, tos, frame)) {
        this.#send(lane)
        batch = this.#lanes[lane]!
        batch.begin(peer, tos, frame)
      }
      let count = 1
      if (frame === batch.segmentSize) {
        const alike = Math.floor((payloadLength - done) / length)
        count = batch.addEach(headerAt, headerLength, stride, payloadAt + done, length, alike)
      } else {
        batch.add(headerAt, headerLength, payloadAt + done, length)
      }
      headerAt += count * stride
      done += count * length
    }
  }

  flush(): void {
    for (let lane = 0; lane < this.#lanes.length; lane++) this.#send(lane)
  }

  #send(lane: number): void {
    const batch = this.#lanes[lane]!
    if (batch.segments === 0) return
    this.#counters.add(COUNTER.tx_frames, batch.segments)
    this.#port.send(batch)
    if (batch.refusedCount > 0) this.#giveBack(lane, batch)
    batch.clear()
  }

  /** What is put again goes out before anything else of the lane, so that a flow stays in order. */
  #giveBack(lane: number, batch: SendBatch): void {
    const retry = !batch.isRetry
    if (retry) {
      this.#spare.lane = lane
      this.#spare.isRetry = true
      this.#lanes[lane] = this.#spare
    }
    for (let segment = 0; segment < batch.segments; segment++) {
      if (batch.isRefused(segment)) this.#onRefused(batch, segment)
    }
    if (retry) {
      this.#send(lane)
      this.#lanes[lane] = batch
    }
  }
}
