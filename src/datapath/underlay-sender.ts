import { store16 } from '../packet/bytes.ts'
import { COUNTER, type Counters } from './counters.ts'
import { ENCAPSULATION } from './encapsulate.ts'
import { EAGAIN, EINVAL, EIO, EMSGSIZE, ENOBUFS } from './errno.ts'
import { errno, libc, type Pointer } from './libc.ts'
import { MAX_DATAGRAM, MAX_DATAGRAM6, MAX_SEGMENTS } from './limits.ts'
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

/** The system calls that send, so that a test may stand in for kernels and devices that it has not. */
export interface SendCalls {
  readonly sendmsg: (fd: number, message: Pointer, flags: number) => number
  readonly sendmmsg: (fd: number, messages: Pointer, count: number, flags: number) => number
  readonly errno: () => number
}

const KERNEL: SendCalls = { sendmsg: libc.sendmsg, sendmmsg: libc.sendmmsg, errno }

export interface UnderlaySenderParts {
  readonly memory: PacketMemory
  readonly sockets: UnderlaySockets
  /** The peers' VXLAN port. */
  readonly port: number
  readonly counters: Counters
  readonly paths: PathMtu
  /** Milliseconds of a clock that never goes back. */
  readonly now: () => number
  readonly calls?: SendCalls
}

/**
 * Batches to system calls: one sendmsg that the kernel cuts (UDP_SEGMENT), or one sendmmsg of single
 * datagrams where it does not. Whatever the kernel cannot take at once is dropped and counted: a
 * forwarder that waits for one peer starves the others.
 */
export class UnderlaySender implements UnderlayPort {
  readonly maxDatagram: number
  readonly #memory: PacketMemory
  readonly #sockets: UnderlaySockets
  readonly #port: number
  readonly #counters: Counters
  readonly #paths: PathMtu
  readonly #now: () => number
  readonly #calls: SendCalls
  /** An array of struct mmsghdr; a send of one takes the first. */
  readonly #messages: number
  readonly #pointers: readonly bigint[]
  readonly #name: number
  readonly #control: number
  #map: SubnetMap
  /** Peer to the time when segmentation may be tried again. */
  readonly #plain = new Map<number, number>()

  constructor(parts: UnderlaySenderParts, map: SubnetMap) {
    const { memory } = parts
    this.#memory = memory
    this.#sockets = parts.sockets
    this.#port = parts.port
    this.#counters = parts.counters
    this.#paths = parts.paths
    this.#now = parts.now
    this.#calls = parts.calls ?? KERNEL
    this.#map = map
    this.maxDatagram = parts.sockets.isIpv6 ? MAX_DATAGRAM6 : MAX_DATAGRAM
    this.#messages = memory.reserve(MAX_SEGMENTS * abi.MMSGHDR_LENGTH)
    this.#pointers = Array.from({ length: MAX_SEGMENTS }, (_, index) =>
      memory.pointerTo(this.#messages + index * abi.MMSGHDR_LENGTH),
    )
    this.#name = memory.reserve(abi.SOCKADDR_IN6_LENGTH)
    this.#control = memory.reserve(CONTROL_LENGTH)
    for (let index = 0; index < MAX_SEGMENTS; index++) {
      const message = this.#messages + index * abi.MMSGHDR_LENGTH
      memory.storeAddress(message + abi.MSG_NAME, this.#name)
      memory.storeAddress(message + abi.MSG_CONTROL, this.#control)
    }
  }

  /** Numbers peers by another map from the next batch on. What was refused may go by now: routes change with maps. */
  use(map: SubnetMap): void {
    this.#map = map
    this.#plain.clear()
  }

  send(batch: SendBatch): void {
    if (batch.segments === 1 || !this.#canSegment(batch.peer)) {
      this.#sendEach(batch)
      return
    }
    const failure = this.#sendWhole(batch)
    if (failure === 0) return
    // EIO: an IPsec policy, or a device without checksum offload before 6.11. EINVAL: before 6.14 also
    // a path too small for the segments. Single datagrams go, or say what is wrong.
    if (failure !== EIO && failure !== EINVAL) {
      this.#lose(failure, batch, 0, batch.segments)
      return
    }
    this.#counters.add(COUNTER.tx_gso_fallbacks)
    this.#sendEach(batch)
    if (batch.refusedCount === 0) this.#plain.set(batch.peer, this.#now() + GSO_RETRY_MS)
  }

  #canSegment(peer: number): boolean {
    if (!this.#sockets.gso) return false
    if (this.#plain.size === 0) return true
    const until = this.#plain.get(peer)
    if (until === undefined) return true
    if (this.#now() < until) return false
    this.#plain.delete(peer)
    return true
  }

  /** One send that the kernel cuts. @returns 0 or errno */
  #sendWhole(batch: SendBatch): number {
    const nameLength = this.#writeName(batch.peer)
    const controlLength = this.#writeControl(batch.tos, batch.segmentSize)
    this.#writeMessage(0, batch, 0, batch.segments, nameLength, controlLength)
    const sent = this.#sendmsg(batch)
    if (sent < 0) return this.#calls.errno()
    this.#counters.add(COUNTER.tx_sendmsg)
    this.#counters.add(COUNTER.tx_segments, batch.segments)
    this.#counters.add(COUNTER.tx_bytes, sent)
    return 0
  }

  /** Without a segment size even for one datagram: with one, kernels before 6.14 refuse more than they must. */
  #sendEach(batch: SendBatch): void {
    const nameLength = this.#writeName(batch.peer)
    const controlLength = this.#writeControl(batch.tos, 0)
    for (let segment = 0; segment < batch.segments; segment++) {
      this.#writeMessage(segment, batch, segment, segment + 1, nameLength, controlLength)
    }
    for (let from = 0; from < batch.segments;) {
      const count = this.#sendSome(batch, from)
      if (count > 0) {
        from += count
        continue
      }
      const failure = this.#calls.errno()
      // A full queue is full for the rest too, and what follows a frame that comes back, to be sent again,
      // must not overtake it; anything else is the one datagram's own.
      const holdsRest = isFull(failure) || failure === EMSGSIZE
      const to = holdsRest ? batch.segments : from + 1
      this.#lose(failure, batch, from, to)
      from = to
    }
  }

  /** @returns how many datagrams the kernel took, 0 or less if not even the first */
  #sendSome(batch: SendBatch, from: number): number {
    let count: number
    if (batch.segments === 1) {
      count = this.#sendmsg(batch) < 0 ? -1 : 1
    } else {
      const messages = this.#pointers[from]!
      const fd = this.#sockets.send[batch.lane]!
      count = this.#calls.sendmmsg(fd, messages, batch.segments - from, abi.MSG_DONTWAIT)
    }
    if (count <= 0) return count
    this.#counters.add(COUNTER.tx_sendmsg)
    this.#counters.add(COUNTER.tx_segments, count)
    for (let segment = from; segment < from + count; segment++) {
      this.#counters.add(COUNTER.tx_bytes, batch.lengthOf(segment))
    }
    return count
  }

  #sendmsg(batch: SendBatch): number {
    const fd = this.#sockets.send[batch.lane]!
    return this.#calls.sendmsg(fd, this.#pointers[0]!, abi.MSG_DONTWAIT)
  }

  #writeName(peer: number): number {
    const { words, bytes } = this.#memory
    const length = this.#map.copySockaddr(peer, words, this.#name >>> 2)
    store16(bytes, this.#name + abi.SOCKADDR_PORT, this.#port)
    return length
  }

  /** The frames from one to another as one message. */
  #writeMessage(
    index: number,
    batch: SendBatch,
    from: number,
    to: number,
    nameLength: number,
    controlLength: number,
  ): void {
    const { words } = this.#memory
    const { pieces, firstPiece } = batch
    const at = this.#messages + index * abi.MMSGHDR_LENGTH
    this.#memory.storeAddress(at + abi.MSG_IOV, pieces.entry(firstPiece[from]!))
    words[(at + abi.MSG_IOV_LENGTH) >>> 2] = firstPiece[to]! - firstPiece[from]!
    words[(at + abi.MSG_NAME_LENGTH) >>> 2] = nameLength
    words[(at + abi.MSG_CONTROL_LENGTH) >>> 2] = controlLength
  }

  /** Control messages for the outer type of service and the segment size; a size of 0 is none. */
  #writeControl(tos: number, segmentSize: number): number {
    const { words } = this.#memory
    let at = this.#control
    if (tos !== 0) {
      const { isIpv6 } = this.#sockets
      const level = isIpv6 ? abi.IPPROTO_IPV6 : abi.IPPROTO_IP
      this.#writeCmsg(at, CMSG_INT_LENGTH, level, isIpv6 ? abi.IPV6_TCLASS : abi.IP_TOS)
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

  /** Frames that were not sent: given back if the first is too large, else lost. */
  #lose(failure: number, batch: SendBatch, from: number, to: number): void {
    if (failure === EMSGSIZE) {
      this.#paths.onTooBig(batch.peer, batch.lengthOf(from) - ENCAPSULATION)
      for (let segment = from; segment < to; segment++) batch.refuse(segment)
    } else if (isFull(failure)) {
      this.#counters.add(COUNTER.tx_lost_backpressure, to - from)
    } else {
      this.#counters.add(COUNTER.tx_lost_error, to - from)
    }
  }
}

function isFull(failure: number): boolean {
  return failure === EAGAIN || failure === ENOBUFS
}
