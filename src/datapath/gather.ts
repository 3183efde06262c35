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
  readonly capacity: number
  count = 0
  bytes = 0

  constructor(memory: PacketMemory, capacity: number) {
    this.memory = memory
    this.capacity = capacity
    this.at = memory.reserve(capacity * IOVEC)
  }

  clear(): void {
    this.count = 0
    this.bytes = 0
  }

  add(at: number, length: number): void {
    const iovec = this.at + this.count * IOVEC
    this.memory.storeAddress(iovec, at)
    this.memory.words[(iovec >>> 2) + 2] = length
    this.memory.words[(iovec >>> 2) + 3] = 0
    this.count++
    this.bytes += length
  }

  /** Offset of the array's entry: where a system call on a part of the pieces begins. */
  entry(index: number): number {
    return this.at + index * IOVEC
  }

  /** The pieces from one entry to another, joined in a fresh array: what the kernel would see. */
  copy(from = 0, to = this.count): Uint8Array {
    const { words, bytes, base } = this.memory
    const parts: number[] = []
    for (let index = from; index < to; index++) {
      const word = this.entry(index) >>> 2
      const at = words[word]! + words[word + 1]! * 0x1_0000_0000 - base
      parts.push(...bytes.slice(at, at + words[word + 2]!))
    }
    return Uint8Array.from(parts)
  }
}
