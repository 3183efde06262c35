import type { CoalesceOptions } from './coalesce.ts'

const TCP = 0
const UDP = 1

/**
 * Which super-packets are written to the TUN, in memory that all workers share: what the kernel refuses
 * to one it refuses to all, and each of them would lose packets to find that out.
 */
export class AllowedCoalescing implements CoalesceOptions {
  readonly buffer: SharedArrayBuffer
  readonly #allowed: Int32Array

  /** @param buffer that of another; a fresh one allows nothing */
  constructor(buffer = new SharedArrayBuffer(2 * Int32Array.BYTES_PER_ELEMENT)) {
    this.buffer = buffer
    this.#allowed = new Int32Array(buffer)
  }

  get tcp(): boolean {
    return this.#allowed[TCP] !== 0
  }

  get udp(): boolean {
    return this.#allowed[UDP] !== 0
  }

  allow({ tcp, udp }: CoalesceOptions): void {
    Atomics.store(this.#allowed, TCP, Number(tcp))
    Atomics.store(this.#allowed, UDP, Number(udp))
  }

  /** Allows nothing any more. @returns whether it was this call that ended it, of all in all threads */
  end(): boolean {
    const tcp = Atomics.exchange(this.#allowed, TCP, 0)
    const udp = Atomics.exchange(this.#allowed, UDP, 0)
    return tcp !== 0 || udp !== 0
  }
}
