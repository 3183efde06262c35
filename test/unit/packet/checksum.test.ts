import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { PacketMemory } from '../../../src/datapath/packet-memory.ts'
import {
  checksumOf,
  fold,
  pseudoHeaderSum,
  pseudoHeaderSum6,
  sumOf,
} from '../../../src/packet/checksum.ts'
import { packetSimd } from '../../../src/packet/packet-simd.ts'
import { joined, naiveSum } from '../../support/naive-packets.ts'

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

test('the plain and the SIMD sum agree with the naive one at every length and alignment', () => {
  const memory = new PacketMemory(65_536)
  const simd = packetSimd(memory.wasm).sum
  for (const [content, around] of [
    [(index: number): number => Math.imul(index + 1, 2654435761) >>> 24, 0xff],
    [(): number => 0xff, 0x55],
    [(): number => 0, 0xff],
  ] as const) {
    for (let length = 0; length <= 300; length++) {
      const bytes = Uint8Array.from({ length }, (_, index) => content(index))
      const expected = naiveSum(bytes)
      for (let at = 32; at < 64; at++) {
        memory.bytes.fill(around, 0, 512)
        memory.bytes.set(bytes, at)
        const sums = [simd(at, length), sumOf(memory.bytes, at, length)]
        assert.ok(sums[0] === expected && sums[1] === expected, `${length} bytes at ${at}`)
      }
    }
  }
})

test('both sums agree with the naive one up to the longest packet', () => {
  const memory = new PacketMemory(3 * 65_536)
  const simd = packetSimd(memory.wasm).sum
  fc.assert(
    fc.property(fc.nat(65_536), fc.nat(64), fc.nat(), (length, at, seed) => {
      for (let i = 0; i < length; i += 97)
        memory.bytes[at + i] = Math.imul(i ^ seed, 0x9e3779b1) >>> 24
      const expected = naiveSum(memory.bytes.subarray(at, at + length))
      assert.equal(simd(at, length), expected)
      assert.equal(sumOf(memory.bytes, at, length), expected)
    }),
    { numRuns: 200 },
  )
})

test('the longest packet of the largest words loses no carry, to the end of the memory', () => {
  const memory = new PacketMemory(4 * 65_536)
  memory.bytes.fill(0xff)
  const simd = packetSimd(memory.wasm).sum
  const size = memory.bytes.length
  for (const length of [65_535, 65_536, 131_071]) {
    const expected = naiveSum(memory.bytes.subarray(0, length))
    assert.equal(simd(0, length), expected)
    assert.equal(simd(size - length, length), expected)
    assert.equal(sumOf(memory.bytes, size - length, length), expected)
  }
})

test('words of IPv6 pseudo headers are summed as RFC 8200 section 8.1 lays them out', () => {
  const addresses = Uint8Array.from({ length: 32 }, (_, index) => 255 - index * 5)
  const length = Uint8Array.from([0, 0, 0x12, 0x34, 0, 0, 0, 58])
  const expected = naiveSum(joined(addresses, length))
  assert.equal(pseudoHeaderSum6(joined(length, addresses), 8, 58, 0x1234), expected)
})
