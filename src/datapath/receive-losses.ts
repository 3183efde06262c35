import { COUNTER, Counters } from './counters.ts'
import { libc } from './libc.ts'
import type { PacketMemory } from './packet-memory.ts'
import { SO_MEMINFO, SOL_SOCKET } from './socket-abi.ts'

/** SO_MEMINFO answers with nine words; the last is what found the buffer full (linux/sock_diag.h). */
const WORDS = 9
const DROPS = 8

/**
 * Datagrams that the kernel dropped at receive sockets. They are asked for it (since Linux 4.12): what
 * comes with the next datagram, SO_RXQ_OVFL, never comes to a socket whose flows have ended.
 */
export class ReceiveLosses {
  readonly #memory: PacketMemory
  readonly #value: number
  readonly #length: number
  /** By socket: what it said last, modulo 2^32. */
  readonly #said = new Map<number, number>()
  readonly #counters = new Counters()

  constructor(memory: PacketMemory, sockets: readonly number[]) {
    this.#memory = memory
    this.#value = memory.reserve(WORDS * 4)
    this.#length = memory.reserve(4)
    for (const fd of sockets) this.#said.set(fd, 0)
  }

  /** With all that was lost until now. */
  get counters(): Counters {
    for (const fd of this.#said.keys()) this.#ask(fd)
    return this.#counters
  }

  /** The socket is about to be closed. */
  leave(fd: number): void {
    if (this.#said.has(fd)) this.#ask(fd)
    this.#said.delete(fd)
  }

  #ask(fd: number): void {
    const { words, base } = this.#memory
    words[this.#length >>> 2] = WORDS * 4
    const [value, length] = [base + this.#value, base + this.#length]
    if (libc.getsockopt(fd, SOL_SOCKET, SO_MEMINFO, value, length) !== 0) return
    const drops = words[(this.#value >>> 2) + DROPS]!
    this.#counters.add(COUNTER.rx_queue_overflows, (drops - this.#said.get(fd)!) >>> 0)
    this.#said.set(fd, drops)
  }
}
