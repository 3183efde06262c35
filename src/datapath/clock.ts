import { libc } from './libc.ts'
import type { PacketMemory } from './packet-memory.ts'

const CLOCK_MONOTONIC = 1
const TIMESPEC_LENGTH = 16

/** The time without a number on the heap, which performance.now() makes at each call. */
export class Clock {
  readonly #words: Uint32Array
  readonly #timespec: number
  readonly #pointer: bigint
  /** In an array, where a number that is not a small integer is no object. */
  readonly #milliseconds = new Float64Array(1)

  constructor(memory: PacketMemory) {
    const at = memory.reserve(TIMESPEC_LENGTH)
    this.#words = memory.words
    this.#timespec = at >>> 2
    this.#pointer = memory.pointerTo(at)
  }

  /** Microseconds since a moment that means nothing, modulo 2^32, as a signed number. */
  now(): number {
    libc.clock_gettime(CLOCK_MONOTONIC, this.#pointer)
    const seconds = this.#words[this.#timespec]!
    const microseconds = (this.#words[this.#timespec + 2]! / 1000) | 0
    this.#milliseconds[0] = seconds * 1000 + ((microseconds / 1000) | 0)
    return (Math.imul(seconds, 1_000_000) + microseconds) | 0
  }

  /** Milliseconds at the last call of now() or since(), of a clock that never goes back; 0 before. */
  get milliseconds(): number {
    return this.#milliseconds[0]!
  }

  /** Microseconds between a time that now() gave, at most half an hour ago, and now. */
  since(then: number): number {
    return (this.now() - then) | 0
  }
}
