import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import {
  headerLength,
  isSound,
  joined,
  type NaiveExtension,
  naivePacket,
  naiveSegments,
  type NaivePacket,
  parseNaive,
  PLAIN,
  PLAIN6,
  superPacket,
  TCP,
  UDP,
  withVnet,
} from '../../support/naive-packets.ts'
import {
  dualTablesOf,
  HOST_B,
  MAC_A,
  MAC_B,
  MemoryForwarder,
  naiveFrame,
} from '../../support/naive-ports.ts'

const options = (longest: number): fc.Arbitrary<Uint8Array> =>
  fc
    .integer({ min: 0, max: longest / 4 })
    .chain((words) => fc.uint8Array({ minLength: words * 4, maxLength: words * 4 }))

/** Hop-by-hop only first, a routing header that is done, destination options. */
const extension = (type: number): fc.Arbitrary<NaiveExtension> =>
  fc.integer({ min: 0, max: 3 }).map((units) => ({
    type,
    rest: new Uint8Array(7 + units * 8).with(0, units),
  }))
const extensions: fc.Arbitrary<NaiveExtension[]> = fc
  .tuple(
    fc.array(extension(0), { maxLength: 1 }),
    fc.array(fc.constantFrom(43, 60).chain(extension), { maxLength: 4 }),
  )
  .map(([first, others]) => [...first, ...others])

/** Bytes that cost fast-check nothing to make: a length and a seed. */
const payload = (longest: number): fc.Arbitrary<Uint8Array> =>
  fc
    .record({ length: fc.integer({ min: 1, max: longest }), seed: fc.nat() })
    .map(({ length, seed }) =>
      Uint8Array.from({ length }, (_, index) => Math.imul(index + seed, 2654435761) >>> 24),
    )

const packet = (base: NaivePacket, protocol: number): fc.Arbitrary<NaivePacket> =>
  fc.record({
    source: fc.constant(base.source),
    destination: fc.constant(base.destination),
    protocol: fc.constant(protocol),
    tos: fc.nat(255),
    ttl: fc.nat(255),
    id: base === PLAIN6 ? fc.constant(0) : fc.nat(0xffff),
    fragment: base === PLAIN6 ? fc.constant(0) : fc.constantFrom(0, 0x4000),
    ipOptions: base === PLAIN6 ? fc.constant(new Uint8Array(0)) : options(40),
    flowLabel: fc.nat(0xfffff),
    extensions,
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

for (const [name, base, protocol] of [
  ['TCP over IPv4', PLAIN, TCP],
  ['UDP over IPv4', PLAIN, UDP],
  ['TCP over IPv6', PLAIN6, TCP],
  ['UDP over IPv6', PLAIN6, UDP],
] as const) {
  test(`a ${name} super-packet leaves as the frames that a naive segmentation makes`, () => {
    fc.assert(
      fc.property(
        packet(base, protocol),
        fc.integer({ min: 500, max: 1200 }),
        fc.nat(3),
        (whole, gsoSize, odd) => {
          const host = new MemoryForwarder(dualTablesOf('a'))
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
          const inner = frames.map((frame) => frame.slice(22))
          assert.ok(inner.every(isSound))
          const together = joined(...inner.map((bytes) => parseNaive(bytes).payload))
          assert.deepEqual(Buffer.from(together), Buffer.from(whole.payload))
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
      { numRuns: 100 },
    )
  })

  test(`a ${name} packet with a partial checksum leaves with a complete one`, () => {
    fc.assert(
      fc.property(packet(base, protocol), fc.nat(1), (given, odd) => {
        const small = { ...given, payload: given.payload.slice(0, 1100) }
        const host = new MemoryForwarder(dualTablesOf('a'))
        const header = {
          flags: 1,
          csumStart: headerLength(small),
          csumOffset: protocol === TCP ? 16 : 6,
        }
        host.fromContainers(withVnet(header, naivePacket(small, 'partial')), odd)
        host.flush()
        assert.deepEqual(
          host.frames().map((bytes) => Buffer.from(bytes)),
          [Buffer.from(naiveFrame(naivePacket(small)))],
        )
      }),
      { numRuns: 200 },
    )
  })
}
