import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import {
  naivePacket,
  naiveSegments,
  type NaivePacket,
  PLAIN,
  superPacket,
  TCP,
  UDP,
  withVnet,
} from '../../support/naive-packets.ts'
import {
  HOST_B,
  MAC_A,
  MAC_B,
  MemoryForwarder,
  naiveFrame,
  tablesOf,
} from '../../support/naive-ports.ts'

const options = (longest: number): fc.Arbitrary<Uint8Array> =>
  fc
    .integer({ min: 0, max: longest / 4 })
    .chain((words) => fc.uint8Array({ minLength: words * 4, maxLength: words * 4 }))

/** Bytes that cost fast-check nothing to make: a length and a seed. */
const payload = (longest: number): fc.Arbitrary<Uint8Array> =>
  fc
    .record({ length: fc.integer({ min: 1, max: longest }), seed: fc.nat() })
    .map(({ length, seed }) =>
      Uint8Array.from({ length }, (_, index) => Math.imul(index + seed, 2654435761) >>> 24),
    )

const packet = (protocol: number): fc.Arbitrary<NaivePacket> =>
  fc.record({
    source: fc.constant(PLAIN.source),
    destination: fc.constant(PLAIN.destination),
    protocol: fc.constant(protocol),
    tos: fc.nat(255),
    ttl: fc.nat(255),
    id: fc.nat(0xffff),
    fragment: fc.constantFrom(0, 0x4000),
    ipOptions: options(40),
    sourcePort: fc.nat(0xffff),
    destinationPort: fc.nat(0xffff),
    sequence: protocol === TCP ? fc.nat(0xffff_ffff) : fc.constant(0),
    acknowledgment: protocol === TCP ? fc.nat(0xffff_ffff) : fc.constant(0),
    flags: protocol === TCP ? fc.nat(255) : fc.constant(0),
    window: protocol === TCP ? fc.nat(0xffff) : fc.constant(0),
    urgent: protocol === TCP ? fc.nat(0xffff) : fc.constant(0),
    tcpOptions: protocol === TCP ? options(40) : fc.constant(new Uint8Array(0)),
    payload: payload(protocol === TCP ? 65_000 : 30_000),
  })

for (const [name, protocol] of [
  ['TCP', TCP],
  ['UDP', UDP],
] as const) {
  test(`a ${name} super-packet leaves as the frames that a naive segmentation makes`, () => {
    fc.assert(
      fc.property(
        packet(protocol),
        fc.integer({ min: 500, max: 1300 }),
        fc.nat(3),
        (whole, gsoSize, odd) => {
          const host = new MemoryForwarder(tablesOf('a'))
          host.fromContainers(superPacket(whole, gsoSize), odd)
          host.flush()
          const expected = naiveSegments(whole, gsoSize).map((segment) =>
            naiveFrame(naivePacket(segment), { to: MAC_B, from: MAC_A }),
          )
          const frames = host.frames()
          assert.equal(frames.length, expected.length)
          for (const [index, frame] of frames.entries()) {
            assert.deepEqual(Buffer.from(frame), Buffer.from(expected[index]!))
          }
          for (const batch of host.sent) {
            assert.equal(batch.destination, HOST_B)
            assert.equal(batch.tos, whole.tos & 3)
            assert.ok(batch.frames.length <= 64)
            const bytes = batch.frames.reduce((sum, frame) => sum + frame.length, 0)
            assert.ok(bytes <= 65_507, `${bytes} bytes in one send`)
            for (const frame of batch.frames.slice(0, -1)) {
              assert.equal(frame.length, batch.segmentSize)
            }
          }
        },
      ),
      { numRuns: 150 },
    )
  })

  test(`a ${name} packet with a partial checksum leaves with a complete one`, () => {
    fc.assert(
      fc.property(packet(protocol), fc.nat(1), (given, odd) => {
        const small = { ...given, payload: given.payload.slice(0, 1300) }
        const host = new MemoryForwarder(tablesOf('a'))
        const header = {
          flags: 1,
          csumStart: 20 + small.ipOptions.length,
          csumOffset: protocol === TCP ? 16 : 6,
        }
        host.fromContainers(withVnet(header, naivePacket(small, 'partial')), odd)
        host.flush()
        assert.deepEqual(
          host.frames().map((bytes) => Buffer.from(bytes)),
          [Buffer.from(naiveFrame(naivePacket(small)))],
        )
      }),
      { numRuns: 300 },
    )
  })
}
