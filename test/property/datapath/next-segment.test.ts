/**
 * Frames whose headers equal those of the frame before are judged by that comparison alone, where they
 * are aligned for it. Two bytes further on in memory they are not, and every frame is judged for itself:
 * whatever is wrong with a frame, both must make the same of the batch.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { Admission } from '../../../src/datapath/admission.ts'
import {
  joined,
  type NaivePacket,
  naivePacket,
  naiveSegments,
  PLAIN,
  PLAIN6,
  TCP,
  UDP,
} from '../../support/naive-packets.ts'
import { dualTablesOf, HOST_A, MemoryForwarder, naiveFrame } from '../../support/naive-ports.ts'

const ALIGNED = 2
const UNALIGNED = 0
const TABLES = dualTablesOf('b')
const OPTIONS = Uint8Array.from([1, 1, 8, 10, 1, 2, 3, 4, 5, 6, 7, 8])

interface Batch {
  readonly packet: NaivePacket
  readonly segments: number
  /** Payload of each segment but the last. */
  readonly size: number
  readonly last: number
}

const batches: fc.Arbitrary<Batch> = fc.record({
  packet: fc
    .record({
      six: fc.boolean(),
      protocol: fc.constantFrom(TCP, TCP, UDP),
      // The header sum of 0 and 0xffff is one number with two spellings.
      id: fc.oneof(fc.nat(0xffff), fc.constantFrom(0, 1, 0xfffe, 0xffff)),
      tos: fc.constantFrom(0, 1, 2, 3),
      fragment: fc.constantFrom(0, 0x4000),
      sequence: fc.oneof(fc.constant(1000), fc.integer({ min: 0xffff_fc00, max: 0xffff_ffff })),
      flags: fc.constantFrom(0x10, 0x18, 0x50, 0x11),
      tcpOptions: fc.constantFrom(new Uint8Array(0), OPTIONS),
    })
    .map(({ six, ...fields }) =>
      six ? { ...PLAIN6, ...fields, id: 0, fragment: 0 } : { ...PLAIN, ...fields },
    ),
  segments: fc.integer({ min: 2, max: 7 }),
  // The first makes frames a multiple of four long, which leaves all of them aligned.
  size: fc.constantFrom(102, 102, 102, 101, 1),
  last: fc.integer({ min: 1, max: 102 }),
})

/** What one of the segments is instead, with right checksums. */
type Deviation = Partial<NaivePacket> | null
const deviations: fc.Arbitrary<Deviation> = fc.oneof(
  { weight: 2, arbitrary: fc.constant(null) },
  {
    weight: 5,
    arbitrary: fc.oneof(
      fc.record({ tos: fc.constantFrom(0, 1, 2, 3, 0xb8) }),
      fc.record({ ttl: fc.constantFrom(1, 62) }),
      fc.record({ id: fc.nat(0xffff) }),
      fc.record({ fragment: fc.constantFrom(0, 0x4000, 0x8000) }),
      fc.record({ flowLabel: fc.constant(7) }),
      fc.record({ sourcePort: fc.constant(40_001) }),
      fc.record({ destinationPort: fc.constant(81) }),
      fc.record({ sequence: fc.constantFrom(0, 1102, 1204) }),
      fc.record({ acknowledgment: fc.constant(2001) }),
      fc.record({ reserved: fc.constantFrom(1, 8) }),
      fc.record({ flags: fc.constantFrom(0x10, 0x18, 0x11, 0x12, 0x14, 0x30, 0x50, 0x90) }),
      fc.record({ window: fc.constant(501) }),
      fc.record({ urgent: fc.constant(1) }),
      fc.record({ tcpOptions: fc.constant(OPTIONS.with(11, 9)) }),
      fc.record({ source: fc.constantFrom(0x0a050103, 0x0a060102, 0x7f000001) }),
      fc.record({ destination: fc.constantFrom(0x0a050204, 0x0a090909) }),
    ),
  },
)

/** One bit of one frame is another; mostly of its headers. */
type Flip = { readonly frame: number; readonly at: number; readonly bit: number } | null
const flips: fc.Arbitrary<Flip> = fc.option(
  fc.record({
    frame: fc.nat(6),
    at: fc.oneof({ weight: 9, arbitrary: fc.nat(96) }, { weight: 1, arbitrary: fc.nat(200) }),
    bit: fc.nat(7),
  }),
)

function framesOf({ packet, segments, size, last }: Batch, which: number, deviation: Deviation) {
  const payload = new Uint8Array(size * (segments - 1) + Math.min(size, last)).map((_, i) => i * 31)
  return naiveSegments({ ...packet, payload }, size).map((segment, index) => {
    const instead = index === which % segments ? deviation : null
    const isOtherVersion = instead?.source !== undefined || instead?.destination !== undefined
    const fields = isOtherVersion && typeof packet.source === 'bigint' ? null : instead
    return naiveFrame(naivePacket({ ...segment, ...fields }))
  })
}

function outcome(bytes: Uint8Array, groSize: number, tos: number, odd: number) {
  const host = new MemoryForwarder(TABLES)
  host.fromUnderlay(bytes, { source: HOST_A, groSize, tos, odd })
  host.flush()
  return {
    written: host.written.map((each) => Buffer.from(each).toString('hex')),
    counted: host.counted(),
  }
}

test('a batch of frames comes to the same whether they are compared or judged one by one', () => {
  fc.assert(
    fc.property(
      batches,
      fc.nat(6),
      deviations,
      flips,
      fc.constantFrom(0, 1, 2, 3),
      (batch, which, deviation, flip, outerTos) => {
        const frames = framesOf(batch, which, deviation)
        const flipped = flip === null ? undefined : frames[flip.frame % frames.length]
        if (flip !== null && flip.at < flipped!.length) flipped![flip.at]! ^= 1 << flip.bit
        const bytes = joined(...frames)
        const groSize = frames[0]!.length
        assert.deepEqual(
          outcome(bytes, groSize, outerTos, ALIGNED),
          outcome(bytes, groSize, outerTos, UNALIGNED),
        )
      },
    ),
    { numRuns: 2500 },
  )
})

for (const version of [4, 6] as const) {
  for (const protocol of [TCP, UDP]) {
    test(`of a batch of ${protocol === TCP ? 'TCP segments' : 'datagrams'} over IPv${version} only the first is judged by all rules`, (t) => {
      const judged = t.mock.method(Admission.prototype, 'fromUnderlay')
      const packet = { ...(version === 4 ? PLAIN : PLAIN6), protocol, tcpOptions: OPTIONS }
      const frames = framesOf(
        { packet, segments: 7, size: protocol === TCP ? 106 : 102, last: 106 },
        0,
        null,
      )
      assert.equal(frames[0]!.length % 4, 0)
      const { written } = outcome(joined(...frames), frames[0]!.length, 0, ALIGNED)
      assert.equal(written.length, 1)
      assert.equal(judged.mock.callCount(), 1)
    })
  }
}
