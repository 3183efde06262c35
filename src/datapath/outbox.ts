import { Gather } from './gather.ts'
import { MAX_DATAGRAM, MAX_SEGMENTS } from './limits.ts'
import type { PacketMemory } from './packet-memory.ts'

/** What the forwarder needs of the underlay. The kernel's sockets implement it, and tests. */
export interface UnderlayPort {
  /** Sends now, or drops and counts; never waits. The batch is reused afterwards. */
  send(batch: SendBatch): void
}

/**
 * Frames for one peer from one source port, of equal size except a shorter last one: what one sendmsg
 * with UDP_SEGMENT takes.
 */
export class SendBatch {
  /** Which of the send ports. */
  readonly lane: number
  readonly pieces: Gather
  /** First piece of each frame, and one past the last. */
  readonly firstPiece = new Uint16Array(MAX_SEGMENTS + 1)
  /** Number of the peer in the map that is in use. */
  peer = 0
  /** Outer type of service. */
  tos = 0
  segmentSize = 0
  segments = 0
  #closed = false

  constructor(memory: PacketMemory, lane: number) {
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
      this.pieces.bytes + length <= MAX_DATAGRAM
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

  clear(): void {
    this.pieces.clear()
    this.segments = 0
    this.#closed = false
  }

  /** Length of one frame in bytes. */
  lengthOf(segment: number): number {
    const last = this.segments - 1
    return segment < last ? this.segmentSize : this.pieces.bytes - last * this.segmentSize
  }
}

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
  /** Sends whatever is queued. */
  flush(): void
}

/**
 * Frames on their way to the underlay. There is one open batch for each send port; a flow always takes
 * the same port, so its frames stay in order.
 */
export class Outbox implements FrameSink {
  readonly #lanes: readonly SendBatch[]
  readonly #port: UnderlayPort

  constructor(memory: PacketMemory, lanes: number, port: UnderlayPort) {
    this.#lanes = Array.from({ length: lanes }, (_, lane) => new SendBatch(memory, lane))
    this.#port = port
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
    const batch = this.#lanes[hash % this.#lanes.length]!
    const length = headerLength + payloadLength
    if (!batch.takes(peer, tos, length)) {
      this.#send(batch)
      batch.begin(peer, tos, length)
    }
    batch.add(headerAt, headerLength, payloadAt, payloadLength)
  }

  flush(): void {
    for (const batch of this.#lanes) this.#send(batch)
  }

  #send(batch: SendBatch): void {
    if (batch.segments === 0) return
    this.#port.send(batch)
    batch.clear()
  }
}
