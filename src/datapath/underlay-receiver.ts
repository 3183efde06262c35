import { loadInt32 } from '../packet/bytes.ts'
import { COUNTER, type Counters } from './counters.ts'
import { errno, libc } from './libc.ts'
import { TURN_PACKETS } from './limits.ts'
import type { PacketMemory } from './packet-memory.ts'
import * as abi from './socket-abi.ts'
import { NO_PEER, type SubnetMap } from './subnet-map.ts'

const CONTROL_LENGTH = 256
const NAME_LENGTH = 32
const MAX_RECEIVE = 65_536

/**
 * From one slot to the next: the largest datagram, and so much more that the beginnings of small ones do
 * not compete for the same sets of a core's cache.
 */
const STRIDE = MAX_RECEIVE + 1664

/** The IP header behind the 22 bytes of VXLAN and Ethernet is aligned. */
const OFFSET = 2

const SLOTS = TURN_PACKETS

/** Of packet memory, and of what the kernel says beside each datagram. */
export const RECEIVER_MEMORY =
  SLOTS * (STRIDE + abi.MMSGHDR_LENGTH + 16 + NAME_LENGTH + CONTROL_LENGTH)

/**
 * recvmmsg on the sockets of the VXLAN port, with what the kernel says beside the data. One call brings
 * what a socket has, up to a limit, into slots that the next call overwrites; select() goes through them.
 */
export class UnderlayReceiver {
  /** Of the selected datagram; the peer is NO_PEER if no subnet is behind it. */
  at = 0
  length = 0
  peer = NO_PEER
  tos = 0
  /** Size of the datagrams that the kernel joined, 0 if it did not. */
  groSize = 0
  /** The datagram or what was said about it is incomplete. */
  truncated = false

  readonly #memory: PacketMemory
  readonly #sockets: readonly number[]
  readonly #counters: Counters
  readonly #messages: number
  readonly #messagesPointer: bigint
  readonly #names: number
  readonly #controls: number
  readonly #slots: number
  /** Bytes of each socket's last datagram: what the next ones are expected to have. */
  readonly #expected: Int32Array
  #map: SubnetMap

  constructor(
    memory: PacketMemory,
    sockets: readonly number[],
    counters: Counters,
    map: SubnetMap,
  ) {
    this.#map = map
    this.#memory = memory
    this.#sockets = sockets
    this.#counters = counters
    this.#expected = new Int32Array(sockets.length).fill(MAX_RECEIVE)
    this.#messages = memory.reserve(SLOTS * abi.MMSGHDR_LENGTH)
    this.#messagesPointer = memory.pointerTo(this.#messages)
    this.#names = memory.reserve(SLOTS * NAME_LENGTH)
    const iovecs = memory.reserve(SLOTS * 16)
    this.#controls = memory.reserve(SLOTS * CONTROL_LENGTH)
    this.#slots = memory.reserve(SLOTS * STRIDE) + OFFSET
    for (let slot = 0; slot < SLOTS; slot++) {
      const message = this.#messages + slot * abi.MMSGHDR_LENGTH
      const iovec = iovecs + slot * 16
      memory.storeAddress(message + abi.MSG_NAME, this.#names + slot * NAME_LENGTH)
      memory.storeAddress(message + abi.MSG_IOV, iovec)
      memory.words[(message + abi.MSG_IOV_LENGTH) >>> 2] = 1
      memory.storeAddress(message + abi.MSG_CONTROL, this.#controls + slot * CONTROL_LENGTH)
      memory.storeAddress(iovec, this.#slots + slot * STRIDE)
      memory.words[(iovec >>> 2) + 2] = MAX_RECEIVE
      this.#prepare(slot)
    }
  }

  /** Numbers peers by another map from the next datagram on. */
  use(map: SubnetMap): void {
    this.#map = map
  }

  /**
   * How many datagrams the next receive() of a socket may bring, if they are like its last one.
   * @param packets at most
   * @param bytes not to be exceeded by far
   */
  most(socket: number, packets: number, bytes: number): number {
    return Math.min(SLOTS, packets, Math.ceil(bytes / this.#expected[socket]!))
  }

  /**
   * @param socket index of one of the sockets
   * @param most from 1 to what most() says
   * @returns datagrams received, to be looked at with select(), or -errno
   */
  receive(socket: number, most: number): number {
    const fd = this.#sockets[socket]!
    const received = libc.recvmmsg(fd, this.#messagesPointer, most, abi.MSG_DONTWAIT, 0)
    if (received < 0) return -errno()
    this.#counters.add(COUNTER.rx_recvmsg, received)
    const last = this.#messages + (received - 1) * abi.MMSGHDR_LENGTH + abi.MMSG_BYTES
    this.#expected[socket] = Math.max(1, this.#memory.words[last >>> 2]!)
    return received
  }

  /** Reads what was said of a datagram of the last receive(), whose slot is then prepared for the next. */
  select(slot: number): void {
    const { words } = this.#memory
    const message = (this.#messages + slot * abi.MMSGHDR_LENGTH) >>> 2
    this.at = this.#slots + slot * STRIDE
    this.length = words[message + abi.MMSG_BYTES / 4]!
    this.#counters.add(COUNTER.rx_bytes, this.length)
    const flags = words[message + abi.MSG_FLAGS / 4]!
    this.truncated = (flags & (abi.MSG_TRUNC | abi.MSG_CTRUNC)) !== 0
    this.peer = this.#findPeer(this.#names + slot * NAME_LENGTH)
    const control = this.#controls + slot * CONTROL_LENGTH
    this.#readControl(control, words[message + abi.MSG_CONTROL_LENGTH / 4]!)
    this.#prepare(slot)
  }

  /** The kernel writes over the lengths what it has used of them. */
  #prepare(slot: number): void {
    const { words } = this.#memory
    const message = (this.#messages + slot * abi.MMSGHDR_LENGTH) >>> 2
    words[message + abi.MSG_NAME_LENGTH / 4] = abi.SOCKADDR_IN6_LENGTH
    words[message + abi.MSG_CONTROL_LENGTH / 4] = CONTROL_LENGTH
  }

  #findPeer(name: number): number {
    const { bytes } = this.#memory
    if (bytes[name] === abi.AF_INET6) return this.#map.peerOf6(bytes, name + abi.SOCKADDR_IP6)
    return this.#map.peerOf(loadInt32(bytes, name + abi.SOCKADDR_IP))
  }

  #readControl(control: number, length: number): void {
    const { words, bytes } = this.#memory
    this.tos = 0
    this.groSize = 0
    const end = control + length
    for (let at = control; at + abi.CMSG_DATA <= end;) {
      const size = words[at >>> 2]!
      if (size < abi.CMSG_DATA) return
      const level = words[(at + abi.CMSG_LEVEL) >>> 2]
      const type = words[(at + abi.CMSG_TYPE) >>> 2]
      const data = at + abi.CMSG_DATA
      if (level === abi.IPPROTO_IP && type === abi.IP_TOS) this.tos = bytes[data]!
      else if (level === abi.IPPROTO_IPV6 && type === abi.IPV6_TCLASS) this.tos = bytes[data]!
      else if (level === abi.SOL_UDP && type === abi.UDP_GRO) this.groSize = words[data >>> 2]!
      at += (size + 7) & ~7
    }
  }
}
