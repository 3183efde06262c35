import type { PacketMemory } from './packet-memory.ts'

const IOVEC = 16

/**
 * Pieces of packet memory that make up one write, kept as the kernel takes them: an array of
 * struct iovec { void *base; size_t length }. Payload is pointed at, never copied.
 */
export class Gather {
  readonly memory: PacketMemory
  /** Offset of the array. */
  readonly at: number
  /** The array, for writev(2). */
  readonly pointer: bigint
  readonly capacity: number
  count = 0
  bytes = 0

  constructor(memory: PacketMemory, capacity: number) {
    this.memory = memory
    this.capacity = capacity
    this.at = memory.reserve(capacity * IOVEC)
    this.pointer = memory.pointerTo(this.at)
  }

  clear(): void {
    this.count = 0
    this.bytes = 0
  }

  add(at: number, length: number): void {
    const iovec = this.at + this.count * IOVEC
    this.memory.storeAddress(iovec, at)
    this.memory.words[(iovec >>> 2) + 2] = length // the upper half is never other than 0
    this.count++
    this.bytes += length
  }

  /** Adds a number of pairs: headers at multiples of a stride, payloads one behind the other. */
  addPairs(
    headersAt: number,
    headerLength: number,
    stride: number,
    payloadAt: number,
    payloadLength: number,
    count: number,
  ): void {
    const { memory } = this
    const { words } = memory
    let iovec = this.entry(this.count)
    for (let i = 0; i < count; i++, iovec += 2 * IOVEC) {
      memory.storeAddress(iovec, headersAt + i * stride)
      words[(iovec >>> 2) + 2] = headerLength
      memory.storeAddress(iovec + IOVEC, payloadAt + i * payloadLength)
      words[(iovec >>> 2) + 6] = payloadLength
    }
    this.count += 2 * count
    this.bytes += count * (headerLength + payloadLength)
  }

  /** Offset of the array's entry: where a system call on a part of the pieces begins. */
  entry(index: number): number {
    return this.at + index * IOVEC
  }

  /** Offset of a piece. */
  offsetOf(index: number): number {
    const word = this.entry(index) >>> 2
    const { words, base } = this.memory
    return words[word]! + words[word + 1]! * 0x1_0000_0000 - base
  }

  /** Length of a piece. */
  lengthOf(index: number): number {
    return this.memory.words[(this.entry(index) >>> 2) + 2]!
  }

  /** The pieces from one entry to another, joined in a fresh array: what the kernel would see. */
  copy(from = 0, to = this.count): Uint8Array {
    const { bytes } = this.memory
    let length = 0
    for (let index = from; index < to; index++) length += this.lengthOf(index)
    const joined = new Uint8Array(length)
    for (let index = from, done = 0; index < to; done += this.lengthOf(index++)) {
      const at = this.offsetOf(index)
      joined.set(bytes.subarray(at, at + this.lengthOf(index)), done)
    }
    return joined
  }
}
