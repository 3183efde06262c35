import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import {
  headerLength,
  isIpv6,
  isSound,
  joined,
  naivePacket,
  type NaivePacket,
  PLAIN,
  PLAIN6,
  superPacket,
  TCP,
  UDP,
  writtenPackets,
} from '../../support/naive-packets.ts'
import { dualTablesOf, HOST_A, MemoryForwarder, naiveFrame } from '../../support/naive-ports.ts'
import { rowsOf } from '../../support/naive-streams.ts'

const NOP_TIMESTAMPS = (value: number): Uint8Array =>
  Uint8Array.from([1, 1, 8, 10, 0, 0, 0, value, 0, 0, 0, 0])

/** What may change from one segment of a stream to the next; mostly nothing. */
const change = fc.oneof(
  { weight: 12, arbitrary: fc.constant({}) },
  { weight: 1, arbitrary: fc.record({ window: fc.constantFrom(400, 500) }) },
  { weight: 1, arbitrary: fc.record({ acknowledgment: fc.constantFrom(1, 2) }) },
  { weight: 1, arbitrary: fc.record({ tos: fc.constantFrom(0, 1, 2, 3, 0x28) }) },
  { weight: 1, arbitrary: fc.record({ ttl: fc.constantFrom(62, 63) }) },
  { weight: 1, arbitrary: fc.record({ fragment: fc.constantFrom(0, 0x4000) }) },
  { weight: 1, arbitrary: fc.record({ tcpOptions: fc.nat(3).map(NOP_TIMESTAMPS) }) },
  { weight: 2, arbitrary: fc.record({ flags: fc.nat(255) }) },
  { weight: 1, arbitrary: fc.record({ flowLabel: fc.constantFrom(1, 2) }) },
  {
    weight: 1,
    arbitrary: fc.constant({
      ipOptions: Uint8Array.from([1, 1, 1, 0]),
      extensions: [{ type: 60, rest: Uint8Array.from([0, 1, 4, 0, 0, 0, 0]) }],
    }),
  },
)

interface Step {
  readonly flow: number
  readonly size: number
  readonly change: Partial<NaivePacket>
  /** Bytes of the stream that never arrived before this one. */
  readonly gap: number
  readonly corrupt: number | null
}

const step: fc.Arbitrary<Step> = fc.record({
  flow: fc.constantFrom(0, 0, 0, 1, 2, 3, 3, 3, 4),
  size: fc.constantFrom(702, 702, 702, 702, 702, 699, 701, 1, 0, 123),
  change,
  gap: fc.constantFrom(0, 0, 0, 0, 0, 0, 0, 5),
  corrupt: fc.oneof({ weight: 19, arbitrary: fc.constant(null) }, fc.nat(10_000)),
})

const FLOWS = [
  { base: PLAIN, protocol: TCP, sequence: 4_294_960_000 },
  { base: PLAIN, protocol: TCP, sequence: 77 },
  { base: PLAIN, protocol: UDP, sequence: 0 },
  { base: PLAIN6, protocol: TCP, sequence: 4_294_960_000 },
  { base: PLAIN6, protocol: UDP, sequence: 0 },
] as const

/** What a datagram and what an IPv6 packet has not. */
const NO_TCP = { acknowledgment: 0, flags: 0, window: 0, tcpOptions: new Uint8Array(0) }
const NO_IPV4 = { id: 0, fragment: 0, ipOptions: new Uint8Array(0) }

function streamOf(steps: readonly Step[]): NaivePacket[] {
  const sequences = FLOWS.map(({ sequence }) => sequence as number)
  return steps.map((step, index) => {
    const { base, protocol } = FLOWS[step.flow]!
    const isTcp = protocol === TCP
    const sequence = isTcp ? (sequences[step.flow]! + step.gap) % 2 ** 32 : 0
    sequences[step.flow] = (sequence + step.size) % 2 ** 32
    return {
      ...base,
      protocol,
      id: index,
      sourcePort: 1000 + step.flow,
      sequence,
      payload: Uint8Array.from({ length: step.size }, (_, at) => at * 7 + index),
      ...step.change,
      ...(isTcp ? {} : NO_TCP),
      ...(isIpv6(base) ? NO_IPV4 : {}),
    }
  })
}

/** All but what reassembly may renumber. */
function comparable(packet: NaivePacket): string {
  return Buffer.from(naivePacket({ ...packet, id: 0 })).toString('hex')
}

function byFlow(packets: readonly NaivePacket[]): Record<string, string[]> {
  const flows: Record<string, string[]> = {}
  for (const packet of packets) (flows[packet.sourcePort] ??= []).push(comparable(packet))
  return flows
}

test('what is written to the TUN stands for exactly the packets that came, each flow in order', () => {
  fc.assert(
    fc.property(
      fc.array(step, { minLength: 10, maxLength: 60, size: 'max' }),
      fc.constantFrom(2, 2, 0, 1),
      fc.boolean(),
      (steps, odd, isJoined) => {
        const host = new MemoryForwarder(dualTablesOf('b'))
        const arriving = streamOf(steps).map((packet, index) => {
          const bytes = naivePacket(packet)
          const { corrupt } = steps[index]!
          const header = headerLength(packet)
          // One bit of the transport header or payload; ports and lengths stay what they are.
          if (corrupt !== null && bytes.length > header + 8) {
            const at = header + 8 + (corrupt % (bytes.length - header - 8))
            bytes[at] = bytes[at]! ^ 4
          }
          return { packet, bytes }
        })
        const frames = arriving.map(({ bytes }) => naiveFrame(bytes))
        for (const row of isJoined ? rowsOf(frames) : frames.map((frame) => [frame])) {
          host.fromUnderlay(joined(...row), { source: HOST_A, odd, groSize: row[0]!.length })
        }
        host.flush()
        const delivered = host.written.flatMap(writtenPackets)
        const sound = arriving.filter(({ bytes }) => isSound(bytes)).map(({ packet }) => packet)
        assert.deepEqual(byFlow(delivered), byFlow(sound))

        const counted = host.counted()
        const bad = (counted.rx_drop_checksum ?? 0) + (counted.rx_drop_malformed ?? 0)
        assert.equal(counted.rx_frames ?? 0, arriving.length)
        assert.equal(counted.rx_packets ?? 0, sound.length)
        assert.equal(bad, arriving.length - sound.length)
      },
    ),
    { numRuns: 300 },
  )
})

test('an undisturbed stream arrives as super-packets', () => {
  const steps = Array.from({ length: 40 }, () => ({
    flow: 0,
    size: 1398,
    change: {},
    gap: 0,
    corrupt: null,
  }))
  const host = new MemoryForwarder(dualTablesOf('b'))
  const frames = streamOf(steps).map((packet) => naiveFrame(naivePacket(packet)))
  host.fromUnderlay(joined(...frames), { source: HOST_A, groSize: frames[0]!.length })
  host.flush()
  assert.equal(host.written.length, 1)
  assert.equal(host.counted().rx_coalesced, 40)
})

test('what one host splits the other puts together again', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 64_000 }),
      fc.integer({ min: 500, max: 1378 }),
      fc.boolean(),
      fc.constantFrom(PLAIN, PLAIN6),
      (length, gsoSize, isTcp, base) => {
        const whole: NaivePacket = {
          ...base,
          protocol: isTcp ? TCP : UDP,
          flags: isTcp ? 0x18 : 0,
          payload: Uint8Array.from({ length: isTcp ? length : length % 30_000 || 1 }, (_, i) => i),
        }
        const [a, b] = [
          new MemoryForwarder(dualTablesOf('a')),
          new MemoryForwarder(dualTablesOf('b')),
        ]
        const size = Math.min(gsoSize, whole.payload.length)
        a.fromContainers(superPacket(whole, size))
        a.flush()
        for (const batch of a.sent) {
          b.fromUnderlay(joined(...batch.frames), { source: HOST_A, groSize: batch.segmentSize })
        }
        b.flush()
        const arrived = b.written.flatMap(writtenPackets).map(({ payload }) => payload)
        assert.deepEqual(Buffer.from(joined(...arrived)), Buffer.from(whole.payload))
        assert.ok(b.written.length <= 2, `${b.written.length} writes`)
      },
    ),
    { numRuns: 60 },
  )
})
