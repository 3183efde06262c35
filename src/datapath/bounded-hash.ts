/**
 * Hash tables that are written once and then only read: open addressing, at most half full, a zero
 * being an empty slot. A key is at most MAX_PROBES slots behind where its hash points, since a table
 * that comes out worse is laid out anew with another seed; so no set of keys makes a search long.
 */
export const MAX_PROBES = 64

const SEEDS = 8
const SMALLEST = 8

export interface HashTable {
  readonly seed: number
  /** A power of two of them. */
  readonly slots: Int32Array
}

/**
 * @param values what the slots hold, not zero
 * @param hashOf hash of the key of the value at an index, with a seed; keys differ from one another
 */
export function layOut(
  values: readonly number[],
  hashOf: (index: number, seed: number) => number,
): HashTable {
  let size = SMALLEST
  while (size < values.length * 2) size *= 2
  for (; ; size *= 2) {
    for (let seed = 1; seed <= SEEDS; seed++) {
      const slots = new Int32Array(size)
      if (values.every((value, index) => placed(slots, hashOf(index, seed), value))) {
        return { seed, slots }
      }
    }
  }
}

function placed(slots: Int32Array, hash: number, value: number): boolean {
  for (let probe = 0; probe < MAX_PROBES; probe++) {
    const slot = (hash + probe) & (slots.length - 1)
    if (slots[slot] !== 0) continue
    slots[slot] = value
    return true
  }
  return false
}

/** Hash of a key of 128 bits, in four words; shorter keys leave the rest zero. */
export function hashOfWords(seed: number, a: number, b: number, c: number, d: number): number {
  let hash = Math.imul(seed ^ a, 0x9e3779b1)
  hash = Math.imul(hash ^ (hash >>> 15) ^ b, 0x85ebca77)
  hash = Math.imul(hash ^ (hash >>> 13) ^ c, 0xc2b2ae3d)
  hash = Math.imul(hash ^ (hash >>> 16) ^ d, 0x27d4eb2f)
  return hash ^ (hash >>> 15)
}
