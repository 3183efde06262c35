import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { PacketMemory } from '../../../src/datapath/packet-memory.ts'
import { assembledPacketSimd, packetSimd } from '../../../src/packet/packet-simd.ts'
import { naiveSum } from '../../support/naive-packets.ts'

/** What wat2wasm (wabt 1.0.39) makes of the functions in src/packet/packet-simd.ts. */
const COMPILED = `
  0061736d0100000001270560027f7f017f60047f7f7f7f0060057f7f7f7f7f017f60057f7f7f7f7f017f
  60047f7f7f7f00021601077061636b657473066d656d6f72790203018080040306050001020304073305
  0373756d00000773756d45616368000109636f756e7453756d7300020a636f756e74416c696b65000306
  72657065617400040a880505ca0203017f017e047b200020014160716a21022000200249044041808002
  fd1021064101fd102107034020042000fd0000002006fd512007fdba01fdae01210420052000fd000010
  2006fd512007fdba01fdae012105200041206a210020002002490d000b20042005fdae01210420014160
  71ad420e86210320032004fd1b00ac7c210320032004fd1b01ac7c210320032004fd1b02ac7c21032003
  2004fd1b03ac7c21030b20002001411c716a2102200020024904400340200320003500007c2103200041
  046a210020002002490d000b0b20014102710440200320003300007c2103200041026a21000b20014101
  710440200320003100007c21030b200342ffff038320034210887c2103200342ffff038320034210887c
  2103200342ffff038320034210887c2103200342ffff038320034210887c21032003a74108762003a741
  ff0171410874720b350003402002200120022001491b21022003200020021000360000200020026a2100
  200341046a2103200120026b210120010d000b0b3301017f20032105024003402005450d012000200110
  002004470d01200020026a2100200541016b21050c000b0b200320056b0b7901037f200141106b210720
  032105024003402005450d01410021060340200020066afd000000200020026b20066afd000000fd5120
  0420066afd000000fd4efd530d0220062007490440200641106a21062007200620072006491b21060c01
  0b0b200020026a2100200541016b21050c000b0b200320056b0b5601027f200141106b21050340410021
  040340200220046a200020046afd000000fd0b000020042005490440200441106a210420052004200520
  04491b21040c010b0b200220016a2102200341016b210320030d000b0b
`

test('the program is assembled to the bytes that another assembler makes of it', () => {
  const bytes = assembledPacketSimd()
  assert.equal(Buffer.from(bytes).toString('hex'), COMPILED.replaceAll(/\s/g, ''))
})

const memory = new PacketMemory(65_536)
const { bytes, words } = memory
const simd = packetSimd(memory.wasm)
/** Where sums, masks and copies go to, behind what they are of. */
const BEHIND = 32_768
const part = (at: number, length: number): Uint8Array => bytes.subarray(at, at + length)

/** Fills the memory with bytes that tell of their place. */
function fill(seed: number): void {
  for (let at = 0; at < bytes.length; at++) bytes[at] = Math.imul(at ^ seed, 0x9e37_79b1) >>> 24
}

test('every part is summed, the last one too, which may be shorter', () => {
  fc.assert(
    fc.property(
      fc.nat(99),
      fc.integer({ min: 1, max: 4000 }),
      fc.integer({ min: 1, max: 2000 }),
      fc.nat(),
      (at, length, size, seed) => {
        fill(seed)
        const count = Math.ceil(length / size)
        words[BEHIND / 4 + count] = 0xabcd
        simd.sumEach(at, length, size, BEHIND)
        for (let i = 0; i < count; i++) {
          const begin = i * size
          const expected = naiveSum(part(at + begin, Math.min(size, length - begin)))
          assert.equal(words[BEHIND / 4 + i], expected)
        }
        assert.equal(words[BEHIND / 4 + count], 0xabcd)
      },
    ),
    { numRuns: 300 },
  )
})

test('parts are counted up to the first with another sum', () => {
  const [at, length, distance, count] = [7, 150, 160, 6]
  for (let other = 0; other <= count; other++) {
    fill(1)
    for (let i = 1; i < count; i++) bytes.copyWithin(at + i * distance, at, at + length)
    const sum = naiveSum(part(at, length))
    if (other < count) bytes[at + other * distance + length - 1]! ^= 1
    assert.equal(simd.countSums(at, length, distance, count, sum), other)
  }
  assert.equal(simd.countSums(at, length, distance, 0, 0), 0)
})

test('parts are counted up to the first that differs from the one before in a bit of the mask', () => {
  const [first, length, distance, count] = [11, 40, 100, 5]
  for (let at = 0; at < 48; at++) {
    for (const [masked, isSeen] of [
      [0x10, at < length],
      [0xef, false],
    ] as const) {
      for (let other = 0; other < count; other++) {
        fill(2)
        for (let i = 1; i <= count; i++) bytes.copyWithin(first + i * distance, first, first + 48)
        bytes.fill(0, BEHIND, BEHIND + 48)
        bytes[BEHIND + at] = masked
        for (let i = other; i < count; i++) bytes[first + (i + 1) * distance + at]! ^= 0x10
        const alike = simd.countAlike(first + distance, length, distance, count, BEHIND)
        assert.equal(alike, isSeen ? other : count, `at ${at}, from ${other} on`)
      }
    }
  }
  assert.equal(simd.countAlike(first, length, distance, 0, BEHIND), 0)
  bytes.fill(0, BEHIND, BEHIND + 48)
  assert.equal(simd.countAlike(bytes.length - 17, 17, 17, 1, BEHIND), 1, 'to the end of the memory')
})

test('a part is repeated one behind the other, and nothing else is written', () => {
  for (let length = 16; length <= 130; length++) {
    for (const count of [1, 2, 7]) {
      fill(length)
      const behind = BEHIND + 3 + count * length
      const rest = Uint8Array.from(part(behind, 16))
      simd.repeat(5, length, BEHIND + 3, count)
      for (let i = 0; i < count; i++) {
        assert.deepEqual(part(BEHIND + 3 + i * length, length), part(5, length))
      }
      assert.deepEqual(Uint8Array.from(part(behind, 16)), rest)
    }
  }
})
