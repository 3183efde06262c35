import { TURN_BYTES, TURN_PACKETS } from './limits.ts'

/** The inputs of one direction: the queues of the TUN, or the sockets of the VXLAN port. */
export interface TurnInputs {
  readonly count: number
  /** Whether one has something. */
  isReady(input: number): boolean
  /**
   * Takes what one system call brings.
   * @param taken told how much that is; nothing if it stays as it is
   * @param used bytes of the turn's memory that are taken
   * @param packets how many may still be taken from this input
   * @param bytes how many should not be exceeded by far
   */
  take(input: number, taken: Taken, used: number, packets: number, bytes: number): void
  /** What was taken is passed on; its memory is free. */
  flush(): void
}

/** What one system call brought. */
export class Taken {
  packets = 0
  /** Of the turn's memory. */
  bytes = 0
  /** There was no more: asking again would find nothing. */
  isLast = false

  clear(): void {
    this.packets = 0
    this.bytes = 0
    this.isLast = false
  }
}

/**
 * How much of one direction is done before the other gets its turn. Inputs that hold something share the
 * turn, and it goes on with the next one where the last turn ended: whoever fills one input makes only
 * that one slow.
 */
export class Turn {
  /** Bytes taken in the last turn. */
  bytes = 0
  readonly #inputs: TurnInputs
  readonly #count: number
  readonly #taken = new Taken()
  #packets = 0
  /** The input that begins. */
  #next = 0

  constructor(inputs: TurnInputs) {
    this.#inputs = inputs
    this.#count = inputs.count
  }

  /**
   * One packet alone in the last turn is mostly one packet alone in this: it is passed on before a second
   * read finds nothing.
   * @returns whether anything was taken
   */
  run(): boolean {
    const inputs = this.#inputs
    const taken = this.#taken
    const ready = this.#countReady()
    if (ready === 0) return false
    const bytesEach = Math.floor(TURN_BYTES / ready)
    const packetsEach = Math.ceil(TURN_PACKETS / ready)
    const wasAlone = this.#packets === 1
    let used = 0
    let packets = 0
    for (let visited = 0; visited < this.#count && used < TURN_BYTES; visited++) {
      const input = this.#next
      this.#next = input + 1 === this.#count ? 0 : input + 1
      if (!inputs.isReady(input)) continue
      const until = Math.min(TURN_BYTES, used + bytesEach)
      for (let own = 0; own < packetsEach && used < until; own += taken.packets) {
        taken.clear()
        inputs.take(input, taken, used, packetsEach - own, until - used)
        if (taken.packets === 0) break
        used += taken.bytes
        packets += taken.packets
        if (packets === 1 && wasAlone) inputs.flush()
        if (taken.isLast) break
      }
    }
    inputs.flush()
    this.bytes = used
    this.#packets = packets
    return packets > 0
  }

  #countReady(): number {
    let ready = 0
    for (let input = 0; input < this.#count; input++) if (this.#inputs.isReady(input)) ready++
    return ready
  }
}
