import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { PacketMemory } from '../../../src/datapath/packet-memory.ts'
import { simdSum } from '../../../src/packet/checksum-simd.ts'
import { checksumOf, fold, pseudoHeaderSum, sumOf, swapSum } from '../../../src/packet/checksum.ts'
import { naiveSum } from '../../support/naive-packets.ts'

test('the example of RFC 1071 section 3 sums to ddf2', () => {
  const bytes = Uint8Array.from([0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7])
  assert.equal(sumOf(bytes, 0, 8), 0xddf2)
  assert.equal(checksumOf(sumOf(bytes, 0, 8)), 0x220d)
})

test('carries of carries are folded', () => {
  assert.equal(fold(0xffff_ffff), 0xffff)
  assert.equal(fold(0x1_ffff), 1)
  assert.equal(fold(0), 0)
})

test('the pseudo header sums as its twelve bytes do', () => {
  const bytes = Uint8Array.from([10, 5, 1, 2, 250, 5, 2, 3, 0, 17, 0x12, 0x34])
  assert.equal(pseudoHeaderSum(0x0a050102, 0xfa050203, 17, 0x1234), naiveSum(bytes))
})

test('a sum moved to an odd place is the sum with its bytes swapped', () => {
  const bytes = Uint8Array.from([0, 1, 2, 3, 4, 5, 6, 255, 255])
  assert.equal(sumOf(bytes, 0, 9), swapSum(sumOf(bytes, 1, 8)))
})

test('the plain and the SIMD sum agree with the naive one at every alignment and length', () => {
  const memory = new PacketMemory(4 * 65_536)
  const simd = simdSum(memory.wasm)
  fc.assert(
    fc.property(
      fc.uint8Array({ maxLength: 300 }),
      fc.nat(64),
      fc.constantFrom(0, 0x55, 0xff),
      (bytes, at, around) => {
        memory.bytes.fill(around, 0, 512)
        memory.bytes.set(bytes, at)
        assert.equal(sumOf(memory.bytes, at, bytes.length), naiveSum(bytes))
        assert.equal(simd(at, bytes.length), naiveSum(bytes))
      },
    ),
    { numRuns: 3000 },
  )
})

test('the longest packet of the largest words loses no carry', () => {
  const memory = new PacketMemory(4 * 65_536)
  memory.bytes.fill(0xff)
  const simd = simdSum(memory.wasm)
  for (const length of [65_535, 65_536, 131_071]) {
    const expected = naiveSum(memory.bytes.subarray(1, 1 + length))
    assert.equal(simd(1, length), expected)
    assert.equal(sumOf(memory.bytes, 1, length), expected)
  }
})
