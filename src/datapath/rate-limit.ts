/**
 * Token buckets, one for each of a fixed number of slots that keys are spread over, so that whoever
 * empties one leaves the others alone. A bucket is one number: the time at which it will be full again
 * (the generic cell rate algorithm, ITU-T I.371). Nothing is allocated by asking.
 */
export class RateLimit {
  readonly #fullAt: Float64Array
  readonly #interval: number
  readonly #depth: number

  /**
   * @param slots a power of two
   * @param interval milliseconds in which a bucket gets one token
   * @param burst tokens in a full bucket
   */
  constructor(slots: number, interval: number, burst: number) {
    this.#fullAt = new Float64Array(slots)
    this.#interval = interval
    this.#depth = (burst - 1) * interval
  }

  /** Takes a token of the key's bucket. @param now milliseconds of a clock that never goes back */
  takes(key: number, now: number): boolean {
    const slot = key & (this.#fullAt.length - 1)
    const fullAt = Math.max(this.#fullAt[slot]!, now)
    if (fullAt - now > this.#depth) return false
    this.#fullAt[slot] = fullAt + this.#interval
    return true
  }
}
