import type { Clock } from './clock.ts'

/** Longer ones are not told apart, and the clock could not: it turns over. */
const LONGEST = 1_000_000

/**
 * The time from finding nothing to the next packet, in microseconds. What wakes a worker up in between, the
 * end of its wait or word from the main thread, is asked for the length and begins no new period.
 */
export class IdlePeriod {
  readonly #clock: Pick<Clock, 'now' | 'since'>
  #since: number

  constructor(clock: Pick<Clock, 'now' | 'since'>) {
    this.#clock = clock
    this.#since = clock.now()
  }

  /** The last packet has been dealt with. */
  begin(): void {
    this.#since = this.#clock.now()
  }

  /** So far, a second at most; right if asked for at least every half hour (clock.ts). */
  length(): number {
    const length = this.#clock.since(this.#since)
    if (length >= 0 && length <= LONGEST) return length
    this.#since = (this.#clock.now() - LONGEST) | 0
    return LONGEST
  }
}
