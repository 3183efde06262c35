import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { FaultMaker, type Faults, flipBit, NO_FAULTS, udpHeaderOf } from '../../../lab/faults.ts'
import { naiveSum } from '../../support/naive-packets.ts'

const fates = (faults: Partial<Faults>, count = 10_000) => {
  const maker = new FaultMaker({ ...NO_FAULTS, ...faults })
  return Array.from({ length: count }, () => maker.next())
}

test('a good network changes nothing', () => {
  assert.deepEqual(new Set(fates({}).map((fate) => JSON.stringify(fate))).size, 1)
  assert.deepEqual(fates({}, 1), [{ copies: 1, delayMs: 0, isLate: false, isCorrupt: false }])
})

test('the same seed has the same faults, another one others', () => {
  const faults = { loss: 0.1, duplicate: 0.1, reorder: 0.1, corrupt: 0.1 }
  assert.deepEqual(fates({ ...faults, seed: 7 }), fates({ ...faults, seed: 7 }))
  assert.notDeepEqual(fates({ ...faults, seed: 7 }), fates({ ...faults, seed: 8 }))
})

test('each fault comes as often as it is asked for', () => {
  const all = fates({ loss: 0.05, duplicate: 0.1, reorder: 0.02, corrupt: 0.01, delayMs: 10 })
  const share = (is: (fate: (typeof all)[number]) => boolean): number =>
    all.filter(is).length / all.length
  const near = (found: number, wanted: number): void =>
    assert.ok(Math.abs(found - wanted) < wanted / 3, `${found} instead of ${wanted}`)
  near(
    share(({ copies }) => copies === 0),
    0.05,
  )
  near(
    share(({ copies }) => copies === 2),
    0.095,
  )
  near(
    share(({ isLate }) => isLate),
    0.019,
  )
  near(
    share(({ isCorrupt }) => isCorrupt),
    0.0095,
  )
  assert.ok(all.every(({ delayMs }) => delayMs >= 10))
})

/** An Ethernet frame with UDP over IPv4 and a right UDP checksum, if any; addresses are left out of it. */
function udpFrame(payload: Uint8Array, hasChecksum: boolean): Buffer {
  const frame = Buffer.concat([Buffer.alloc(42), payload])
  frame.writeUInt16BE(0x0800, 12)
  frame[14] = 0x45
  frame[23] = 17
  frame.writeUInt16BE(8472, 36)
  frame.writeUInt16BE(8 + payload.length, 38)
  if (hasChecksum) frame.writeUInt16BE(~naiveSum(frame.subarray(34)) & 0xffff || 0xffff, 40)
  return frame
}

test('a flipped bit changes the payload by that bit, and the checksum stays right', () => {
  const cases = fc
    .uint8Array({ minLength: 1, maxLength: 65 })
    .chain((payload) => fc.tuple(fc.constant(payload), fc.nat(payload.length * 8 - 1)))
  fc.assert(
    fc.property(cases, ([payload, bit]) => {
      const before = udpFrame(payload, true)
      const after = Buffer.from(before)
      flipBit(after, 34, bit)
      assert.equal(naiveSum(after.subarray(34)), 0xffff)
      const expected = payload.with(bit >>> 3, payload[bit >>> 3]! ^ (1 << (bit & 7)))
      assert.deepEqual(after.subarray(42), Buffer.from(expected))
    }),
  )
})

test('no checksum stays no checksum', () => {
  const frame = udpFrame(new Uint8Array(9), false)
  flipBit(frame, 34, 70)
  assert.equal(frame.readUInt16BE(40), 0)
  assert.equal(frame[50], 0x40)
})

test('only UDP over IPv4 to the port is a datagram to treat', () => {
  const frame = udpFrame(new Uint8Array(20), true)
  assert.equal(udpHeaderOf(frame, 8472), 34)
  assert.equal(udpHeaderOf(frame, 8473), -1)
  assert.equal(udpHeaderOf(frame.subarray(0, 41), 8472), -1)
  for (const [at, value] of [
    [12, 0x86],
    [23, 6],
  ] as const) {
    assert.equal(udpHeaderOf(Buffer.from(frame.with(at, value)), 8472), -1)
  }
})
