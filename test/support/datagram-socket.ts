import assert from 'node:assert/strict'
import { addressOf, errno, libc } from '../../src/datapath/libc.ts'
import { PacketMemory } from '../../src/datapath/packet-memory.ts'
import * as abi from '../../src/datapath/socket-abi.ts'
import { parseIpv4 } from '../../src/net/ipv4.ts'

const ROOM = 65_536
const FORCED_BUFFER = 32 * 1024 * 1024

/**
 * A UDP socket of the kernel with what Node's own does not offer: super-datagrams (UDP_SEGMENT), the
 * type of service, many packets a second, and waiting for one without leaving the thread.
 */
export class DatagramSocket implements Disposable {
  /** What is sent; write it before send(). */
  readonly out: Uint8Array
  /** What was received last. */
  readonly in: Uint8Array
  readonly #memory = new PacketMemory(4 * ROOM, addressOf)
  readonly #fd: number
  readonly #name = this.#memory.reserve(abi.SOCKADDR_IN_LENGTH)
  readonly #value = this.#memory.reserve(4)
  readonly #send = this.#message(true)
  readonly #receive = this.#message(false)
  readonly #pollfd = this.#memory.reserve(abi.POLLFD_LENGTH)

  constructor() {
    this.#fd = libc.socket(abi.AF_INET, abi.SOCK_DGRAM | abi.SOCK_CLOEXEC, 0)
    assert.ok(this.#fd >= 0, `no socket: errno ${errno()}`)
    this.set(abi.SOL_SOCKET, abi.SO_RCVBUFFORCE, FORCED_BUFFER)
    this.out = this.#memory.bytes.subarray(this.#send.room, this.#send.room + ROOM)
    this.in = this.#memory.bytes.subarray(this.#receive.room, this.#receive.room + ROOM)
    this.#memory.words[this.#pollfd >>> 2] = this.#fd
    this.#memory.words[(this.#pollfd >>> 2) + 1] = abi.POLLIN
  }

  set(level: number, option: number, value: number): void {
    this.#memory.words[this.#value >>> 2] = value
    const result = libc.setsockopt(this.#fd, level, option, this.#memory.base + this.#value, 4)
    assert.equal(result, 0, `option ${option} of level ${level}: errno ${errno()}`)
  }

  bind(address: string, port = 0): void {
    this.to(address, port)
    const { base } = this.#memory
    const result = libc.bind(this.#fd, base + this.#name, abi.SOCKADDR_IN_LENGTH)
    assert.equal(result, 0, `cannot bind ${address}:${port}: errno ${errno()}`)
  }

  /** Where send() sends from now on. */
  to(address: string, port: number): void {
    const view = new DataView(this.#memory.bytes.buffer, this.#name, abi.SOCKADDR_IN_LENGTH)
    view.setUint16(0, abi.AF_INET, true)
    view.setUint16(abi.SOCKADDR_PORT, port)
    view.setUint32(abi.SOCKADDR_IP, parseIpv4(address))
  }

  /** Sends the first bytes of `out`. @returns 0 or errno */
  send(length: number): number {
    this.#memory.words[this.#send.length] = length
    return libc.sendmsg(this.#fd, this.#memory.base + this.#send.at, 0) < 0 ? errno() : 0
  }

  /** Waits for a datagram, which is then in `in`. @returns its length, or -1 when none came in time */
  receive(milliseconds: number): number {
    const { base, words } = this.#memory
    words[this.#receive.length] = ROOM
    let length = libc.recvmsg(this.#fd, base + this.#receive.at, abi.MSG_DONTWAIT)
    if (length < 0 && milliseconds > 0 && libc.poll(base + this.#pollfd, 1, milliseconds) > 0) {
      length = libc.recvmsg(this.#fd, base + this.#receive.at, abi.MSG_DONTWAIT)
    }
    return length
  }

  [Symbol.dispose](): void {
    libc.close(this.#fd)
  }

  /** A struct msghdr with one buffer; `length` is the index of the word that holds the buffer's length. */
  #message(named: boolean): { at: number; room: number; length: number } {
    const memory = this.#memory
    const at = memory.reserve(abi.MSGHDR_LENGTH)
    const iovec = memory.reserve(16)
    const room = memory.reserve(ROOM)
    memory.storeAddress(iovec, room)
    memory.storeAddress(at + abi.MSG_IOV, iovec)
    memory.words[(at + abi.MSG_IOV_LENGTH) >>> 2] = 1
    if (named) {
      memory.storeAddress(at + abi.MSG_NAME, this.#name)
      memory.words[(at + abi.MSG_NAME_LENGTH) >>> 2] = abi.SOCKADDR_IN_LENGTH
    }
    return { at, room, length: (iovec >>> 2) + 2 }
  }
}
