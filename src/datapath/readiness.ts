import { OverlayError } from '../errors.ts'
import * as abi from './epoll-abi.ts'
import { errnoName } from './errno.ts'
import { errno, libc, type Pointer } from './libc.ts'
import type { PacketMemory } from './packet-memory.ts'

/**
 * Which of the descriptors that a worker watches have something, by epoll(7): what is asked often costs
 * the more the more descriptors poll(2) is told of each time.
 */
export class Readiness {
  readonly #memory: PacketMemory
  readonly #epoll: number
  readonly #events: number
  readonly #eventsPointer: Pointer
  readonly #count: number
  /** By index of the descriptor: 1 if it has something. */
  readonly #ready: Uint8Array

  /** @throws OverlayError datapath */
  constructor(memory: PacketMemory, descriptors: readonly number[]) {
    this.#memory = memory
    this.#count = descriptors.length
    this.#ready = new Uint8Array(descriptors.length)
    this.#events = memory.reserve(descriptors.length * abi.EPOLL_EVENT_LENGTH)
    this.#eventsPointer = memory.pointerTo(this.#events)
    this.#epoll = libc.epoll_create1(abi.EPOLL_CLOEXEC)
    for (const [index, fd] of descriptors.entries()) {
      const { words, base } = memory
      words[this.#events >>> 2] = abi.EPOLLIN
      words[(this.#events + abi.EPOLL_EVENT_DATA) >>> 2] = index
      const event = base + this.#events
      if (libc.epoll_ctl(this.#epoll, abi.EPOLL_CTL_ADD, fd, event) === 0) continue
      const reason = errnoName(errno())
      this.close()
      throw new OverlayError('datapath', `cannot watch a descriptor: ${reason}`)
    }
  }

  /**
   * Waits until one has something or the time is over.
   * @param milliseconds 0 to look only
   * @returns whether any has
   */
  wait(milliseconds: number): boolean {
    const found = libc.epoll_wait(this.#epoll, this.#eventsPointer, this.#count, milliseconds)
    if (found <= 0) return false
    this.#ready.fill(0)
    for (let event = 0; event < found; event++) {
      const at = this.#events + event * abi.EPOLL_EVENT_LENGTH + abi.EPOLL_EVENT_DATA
      this.#ready[this.#memory.words[at >>> 2]!] = 1
    }
    return true
  }

  /** Of the last wait that found any: readable, or broken, which reading will tell. */
  isReady(index: number): boolean {
    return this.#ready[index] === 1
  }

  /** Holds every one to have something. A descriptor that was closed is not watched any more; reading it tells. */
  suspectAll(): void {
    this.#ready.fill(1)
  }

  close(): void {
    libc.close(this.#epoll)
  }
}
