import { store16 } from '../packet/bytes.ts'
import { COUNTER, type Counters } from './counters.ts'
import { EAGAIN, EINVAL, EIO, EMSGSIZE, ENOBUFS } from './errno.ts'
import { errno, libc } from './libc.ts'
import type { SendBatch, UnderlayPort } from './outbox.ts'
import type { PacketMemory } from './packet-memory.ts'
import type { PathMtu } from './path-mtu.ts'
import * as abi from './socket-abi.ts'
import type { SubnetMap } from './subnet-map.ts'
import type { UnderlaySockets } from './underlay-sockets.ts'

const CONTROL_LENGTH = 64
/** A cmsg of one int, and one of a 16-bit number, both padded to eight. */
const CMSG_INT_LENGTH = 20
const CMSG_U16_LENGTH = 18
const CMSG_SPACE = 24

/** How long a peer is sent single datagrams after the kernel refused to cut a batch. */
const GSO_RETRY_MS = 10 * 60_000

/**
 * Batches to sendmsg. Whatever the kernel cannot take at once is dropped and counted: a forwarder that
 * waits for one peer starves the others.
 */
export class UnderlaySender implements UnderlayPort {
  readonly #memory: PacketMemory
  readonly #sockets: UnderlaySockets
  readonly #port: number
  readonly #counters: Counters
  readonly #message: number
  readonly #name: number
  readonly #control: number
  readonly #paths: PathMtu
  #map: SubnetMap
  /** Peer to the time when segmentation may be tried again. */
  readonly #plain = new Map<number, number>()

  constructor(
    memory: PacketMemory,
    sockets: UnderlaySockets,
    port: number,
    counters: Counters,
    paths: PathMtu,
    map: SubnetMap,
  ) {
    this.#paths = paths
    this.#map = map
    this.#memory = memory
    this.#sockets = sockets
    this.#port = port
    this.#counters = counters
    this.#message = memory.reserve(abi.MSGHDR_LENGTH)
    this.#name = memory.reserve(abi.SOCKADDR_IN6_LENGTH)
    this.#control = memory.reserve(CONTROL_LENGTH)
    memory.storeAddress(this.#message + abi.MSG_NAME, this.#name)
  }

  /** Numbers peers by another map from the next batch on. */
  use(map: SubnetMap): void {
    this.#map = map
    this.#plain.clear()
  }

  send(batch: SendBatch): void {
    this.#address(batch.peer)
    if (batch.segments > 1 && !this.#canSegment(batch.peer)) {
      this.#sendEach(batch)
      return
    }
    const failure = this.#sendPieces(batch, 0, batch.segments)
    if (failure === 0) return
    // EIO: an IPsec policy, or a device without checksum offload before 6.11. EINVAL: before 6.14 also
    // a path too small for the segments. Single datagrams go, or say what is wrong.
    if (batch.segments > 1 && (failure === EIO || failure === EINVAL)) {
      this.#plain.set(batch.peer, Date.now() + GSO_RETRY_MS)
      this.#counters.add(COUNTER.tx_gso_fallbacks)
      this.#sendEach(batch)
      return
    }
    this.#lose(failure, batch, 0, batch.segments)
  }

  #address(peer: number): void {
    const { words, bytes } = this.#memory
    const length = this.#map.copySockaddr(peer, words, this.#name >>> 2)
    store16(bytes, this.#name + abi.SOCKADDR_PORT, this.#port)
    words[(this.#message + abi.MSG_NAME_LENGTH) >>> 2] = length
  }

  #canSegment(peer: number): boolean {
    if (!this.#sockets.gso) return false
    if (this.#plain.size === 0) return true
    const until = this.#plain.get(peer)
    if (until === undefined) return true
    if (Date.now() < until) return false
    this.#plain.delete(peer)
    return true
  }

  #sendEach(batch: SendBatch): void {
    for (let segment = 0; segment < batch.segments; segment++) {
      const failure = this.#sendPieces(batch, segment, segment + 1)
      if (failure !== 0) this.#lose(failure, batch, segment, segment + 1)
    }
  }

  /** One sendmsg of the frames from one to another. @returns 0 or errno */
  #sendPieces(batch: SendBatch, from: number, to: number): number {
    const { words } = this.#memory
    const { pieces, firstPiece } = batch
    const message = this.#message >>> 2
    this.#memory.storeAddress(this.#message + abi.MSG_IOV, pieces.entry(firstPiece[from]!))
    words[message + abi.MSG_IOV_LENGTH / 4] = firstPiece[to]! - firstPiece[from]!
    const controlLength = this.#writeControl(batch.tos, to - from > 1 ? batch.segmentSize : 0)
    this.#memory.storeAddress(this.#message + abi.MSG_CONTROL, this.#control)
    words[message + abi.MSG_CONTROL_LENGTH / 4] = controlLength

    const fd = this.#sockets.send[batch.lane]!
    const sent = libc.sendmsg(fd, this.#memory.base + this.#message, abi.MSG_DONTWAIT)
    if (sent < 0) return errno()
    this.#counters.add(COUNTER.tx_sendmsg)
    this.#counters.add(COUNTER.tx_segments, to - from)
    this.#counters.add(COUNTER.tx_bytes, sent)
    return 0
  }

  /** Control messages for the outer type of service and the segment size; a size of 0 is none. */
  #writeControl(tos: number, segmentSize: number): number {
    const { words } = this.#memory
    let at = this.#control
    if (tos !== 0) {
      this.#writeCmsg(at, CMSG_INT_LENGTH, abi.IPPROTO_IP, abi.IP_TOS)
      words[(at + abi.CMSG_DATA) >>> 2] = tos
      at += CMSG_SPACE
    }
    if (segmentSize !== 0) {
      this.#writeCmsg(at, CMSG_U16_LENGTH, abi.SOL_UDP, abi.UDP_SEGMENT)
      words[(at + abi.CMSG_DATA) >>> 2] = segmentSize
      at += CMSG_SPACE
    }
    return at - this.#control
  }

  #writeCmsg(at: number, length: number, level: number, type: number): void {
    const { words } = this.#memory
    words[at >>> 2] = length
    words[(at >>> 2) + 1] = 0
    words[(at + abi.CMSG_LEVEL) >>> 2] = level
    words[(at + abi.CMSG_TYPE) >>> 2] = type
  }

  #lose(failure: number, batch: SendBatch, from: number, to: number): void {
    if (failure === EMSGSIZE) {
      this.#paths.onTooBig(batch.peer)
      for (let segment = from; segment < to; segment++) batch.refuse(segment)
    } else if (failure === EAGAIN || failure === ENOBUFS) {
      this.#counters.add(COUNTER.tx_lost_backpressure, to - from)
    } else {
      this.#counters.add(COUNTER.tx_lost_error, to - from)
    }
  }
}
