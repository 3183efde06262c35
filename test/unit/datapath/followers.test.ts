/**
 * A frame behind one of the same packet is looked at less closely than any other. Whatever is different
 * in it, it must fare as it would alone.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { joined, naivePacket } from '../../support/naive-packets.ts'
import { dualTablesOf, HOST_A, MemoryForwarder, naiveFrame } from '../../support/naive-ports.ts'
import { filled, receivedJoined, SIZE, streamOf, VERSIONS } from '../../support/naive-streams.ts'

/** Hands frames over as one datagram or one by one. @returns all that can be seen of it */
function outcomeOf(frames: readonly Uint8Array[], isJoined: boolean): unknown {
  const host = new MemoryForwarder(dualTablesOf('b'))
  for (const bytes of isJoined ? [joined(...frames)] : frames) {
    host.fromUnderlay(bytes, { source: HOST_A, odd: 2, groSize: frames[0]!.length })
  }
  host.flush()
  return [host.written.map((bytes) => Buffer.from(bytes).toString('hex')), host.counted()]
}

/** The frame with the 16-bit words at these places made larger by so much. */
function withAdded(frame: Uint8Array, places: readonly (readonly [number, number])[]): Uint8Array {
  const copy = Uint8Array.from(frame)
  const view = new DataView(copy.buffer)
  for (const [at, value] of places) view.setUint16(at, view.getUint16(at) + value)
  return copy
}

for (const { version, segment, datagram } of VERSIONS) {
  for (const [name, base] of [
    ['segment', segment],
    ['datagram', datagram],
  ] as const) {
    const frames = streamOf(base, [{}, {}, {}]).map((packet) => naiveFrame(naivePacket(packet)))
    const headers = frames[0]!.length - SIZE
    const words = Array.from({ length: headers / 2 }, (_, index) => index * 2)
    const [first, second, third] = [frames[0]!, frames[1]!, frames[2]!]

    const assertFaresAlike = (changed: Uint8Array, what: string): void => {
      const row = [first, changed, third]
      assert.deepEqual(outcomeOf(row, true), outcomeOf(row, false), what)
    }

    test(`a ${name} over ${version} that follows fares as alone whatever one word of it is`, () => {
      for (const at of words) {
        for (const value of [1, 0x100, 0x800, 0x2000, 0x8000, 0xffff]) {
          assertFaresAlike(withAdded(second, [[at, value]]), `${value} more at ${at}`)
        }
      }
    })

    test(`a ${name} over ${version} that follows fares as alone if two words make up for each other`, () => {
      for (const a of words) {
        for (const b of words) {
          if (a === b) continue
          const what = `one more at ${a}, one less at ${b}`
          const places = [
            [a, 1],
            [b, 0xffff],
          ] as const
          assertFaresAlike(withAdded(second, places), what)
        }
      }
    })
  }

  test(`a datagram over ${version} without a checksum follows none, even if its sum is right`, () => {
    const [one, two] = streamOf(datagram, [{}, {}]).map((packet) => naivePacket(packet))
    const at = one!.length - SIZE - 2
    // What the checksum is, added to the first word of the payload, makes it 0, which is sent as ffff.
    const payload = filled(SIZE)
    const view = new DataView(payload.buffer)
    const sum = view.getUint16(0) + ((two![at]! << 8) | two![at + 1]!)
    view.setUint16(0, sum > 0xffff ? sum - 0xffff : sum)
    const zero = naivePacket({ ...datagram, payload })
    assert.equal(Buffer.from(zero).readUInt16BE(at), 0xffff)
    const host = receivedJoined([one!, zero.with(at, 0).with(at + 1, 0)])
    assert.equal(host.written.length, 2)
  })
}
