import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { hashOfWords, layOut, MAX_PROBES } from '../../../src/datapath/bounded-hash.ts'

type Key = readonly [number, number, number, number]

/** Where a value is found, looking where its hash points and then onwards. */
function probesTo(slots: Int32Array, hash: number, value: number): number {
  let probes = 0
  while (slots[(hash + probes) & (slots.length - 1)] !== value) {
    if (++probes === slots.length) return Infinity
  }
  return probes + 1
}

function judge(keys: readonly Key[], hashOf = hashOfWords): void {
  const { seed, slots } = layOut(
    keys.map((_, index) => index + 1),
    (index, seed) => hashOf(seed, ...keys[index]!),
  )
  assert.equal(slots.filter((slot) => slot !== 0).length, keys.length)
  assert.equal(Math.log2(slots.length) % 1, 0)
  for (const [index, key] of keys.entries()) {
    assert.ok(probesTo(slots, hashOf(seed, ...key), index + 1) <= MAX_PROBES)
  }
}

test('whatever the keys, each is found within the bound', () => {
  const word = fc.oneof(fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 }), fc.nat(3))
  const keys = fc.uniqueArray(fc.tuple(word, word, word, word), {
    selector: (key) => key.join(),
    maxLength: 300,
  })
  fc.assert(fc.property(keys, (keys) => judge(keys)))
})

test('so are keys that differ in a few bits only, wherever those are', () => {
  for (const word of [0, 1, 2, 3]) {
    for (const shift of [0, 8, 16]) {
      const keys = Array.from({ length: 65_536 }, (_, index) => {
        const key: [number, number, number, number] = [1, 2, 3, 4]
        key[word] = index << shift
        return key
      })
      judge(shift === 16 ? keys : keys.slice(0, 4096))
    }
  }
})

test('a seed that crowds the keys is given up for another, and a size for a larger one', () => {
  const keys = Array.from({ length: 200 }, (_, index): Key => [index, 0, 0, 0])
  judge(keys, (seed, a) => (seed < 8 ? 0 : a))
  judge(keys, (_, a) => a & ~31)
})
