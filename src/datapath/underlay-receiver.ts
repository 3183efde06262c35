import { loadInt32 } from '../packet/bytes.ts'
import { COUNTER, type Counters } from './counters.ts'
import { errno, libc } from './libc.ts'
import type { PacketMemory } from './packet-memory.ts'
import * as abi from './socket-abi.ts'
import { NO_PEER, type SubnetMap } from './subnet-map.ts'

const CONTROL_LENGTH = 256

/** recvmsg on the sockets of the VXLAN port, with what the kernel says beside the data. */
export class UnderlayReceiver {
  /** Of the last datagram, as receive() found them; the peer is NO_PEER if no subnet is behind it. */
  peer = NO_PEER
  tos = 0
  /** Size of the datagrams that the kernel joined, 0 if it did not. */
  groSize = 0
  /** The datagram or what was said about it is incomplete. */
  truncated = false

  readonly #memory: PacketMemory
  readonly #sockets: readonly number[]
  readonly #counters: Counters
  readonly #message: number
  readonly #messagePointer: bigint
  readonly #name: number
  readonly #iovec: number
  readonly #control: number
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
    this.#message = memory.reserve(abi.MSGHDR_LENGTH)
    this.#messagePointer = memory.pointerTo(this.#message)
    this.#name = memory.reserve(abi.SOCKADDR_IN6_LENGTH)
    this.#iovec = memory.reserve(16)
    this.#control = memory.reserve(CONTROL_LENGTH)
    memory.storeAddress(this.#message + abi.MSG_NAME, this.#name)
    memory.storeAddress(this.#message + abi.MSG_IOV, this.#iovec)
    memory.words[(this.#message + abi.MSG_IOV_LENGTH) >>> 2] = 1
    memory.storeAddress(this.#message + abi.MSG_CONTROL, this.#control)
  }

  /** Numbers peers by another map from the next datagram on. */
  use(map: SubnetMap): void {
    this.#map = map
  }

  /**
   * @param socket index of one of the sockets
   * @returns bytes received at `at`, or -errno
   */
  receive(socket: number, at: number, capacity: number): number {
    const { words } = this.#memory
    const message = this.#message >>> 2
    this.#memory.storeAddress(this.#iovec, at)
    words[(this.#iovec >>> 2) + 2] = capacity
    words[message + abi.MSG_NAME_LENGTH / 4] = abi.SOCKADDR_IN6_LENGTH
    words[message + abi.MSG_CONTROL_LENGTH / 4] = CONTROL_LENGTH
    const received = libc.recvmsg(this.#sockets[socket]!, this.#messagePointer, abi.MSG_DONTWAIT)
    if (received < 0) return -errno()

    this.#counters.add(COUNTER.rx_recvmsg)
    this.#counters.add(COUNTER.rx_bytes, received)
    const flags = words[message + abi.MSG_FLAGS / 4]!
    this.truncated = (flags & (abi.MSG_TRUNC | abi.MSG_CTRUNC)) !== 0
    this.peer = this.#findPeer()
    this.#readControl(words[message + abi.MSG_CONTROL_LENGTH / 4]!)
    return received
  }

  #findPeer(): number {
    const { bytes } = this.#memory
    if (bytes[this.#name] === abi.AF_INET6) {
      return this.#map.peerOf6(bytes, this.#name + abi.SOCKADDR_IP6)
    }
    return this.#map.peerOf(loadInt32(bytes, this.#name + abi.SOCKADDR_IP))
  }

  #readControl(length: number): void {
    const { words, bytes } = this.#memory
    this.tos = 0
    this.groSize = 0
    const end = this.#control + length
    for (let at = this.#control; at + abi.CMSG_DATA <= end;) {
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
