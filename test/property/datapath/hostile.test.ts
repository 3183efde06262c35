/**
 * Packets and frames that nobody honest sends: cut short, lengthened, overlapping, with lengths, types
 * and offsets that lie. Every one is handed over twice in guarded memory, and what comes of it must be
 * exactly what the naive rules allow.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { type CounterName } from '../../../src/datapath/counters.ts'
import type { ForwardingTables } from '../../../src/datapath/tables.ts'
import { parseCidr } from '../../../src/net/cidr.ts'
import { parseCidr6 } from '../../../src/net/cidr6.ts'
import { parseIpv4 } from '../../../src/net/ipv4.ts'
import { GuardedForwarder, type Outcome } from '../../support/guarded-forwarder.ts'
import { byFlow, deliveries, kernelPackets } from '../../support/naive-delivery.ts'
import {
  joined,
  type NaiveExtension,
  type NaivePacket,
  naivePacket,
  naiveSum,
  PLAIN,
  PLAIN6,
  superPacket,
  UDP,
  withVnet,
} from '../../support/naive-packets.ts'
import { dualTablesOf, HOST_A, naiveFrame } from '../../support/naive-ports.ts'
import { naiveParts, naivePseudoHeader, naiveReceive } from '../../support/naive-rules.ts'
import { naiveSend } from '../../support/naive-sending.ts'

const MTU = 1450
const CONTENT = Uint8Array.from(
  { length: 3000 },
  (_, index) => Math.imul(index + 1, 2654435761) >>> 24,
)
const bytesOf = (length: number): Uint8Array => CONTENT.slice(0, length)
const extension = (type: number, ...rest: readonly number[]): NaiveExtension => ({
  type,
  rest: joined(Uint8Array.from(rest), new Uint8Array(7 - (rest.length % 8))),
})

/** Packets that would pass, by what they are. */
const HONEST: readonly Partial<NaivePacket>[] = [
  {},
  { tcpOptions: bytesOf(12) },
  { protocol: UDP },
  { ipOptions: Uint8Array.from([1, 1, 1, 0]), extensions: [extension(60, 0, 1, 4)] },
  {
    ipOptions: new Uint8Array(40).fill(1),
    extensions: [extension(0, 0, 1, 4), extension(43, 0, 4, 0), extension(60, 1, ...bytesOf(14))],
    protocol: UDP,
  },
  { fragment: 0x2000, extensions: [extension(44, 0, 0, 1)], protocol: UDP },
  { extensions: [extension(44, 0, 0, 0, 1)] },
  { extensions: [extension(43, 0, 4, 1)] },
  { extensions: [extension(60, 55, ...bytesOf(446))] },
  { protocol: 1 },
  { protocol: 51 },
]

/** A change of the bytes: mostly of a header, mostly to what a length or type may be taken for. */
type Change =
  | { readonly at: number; readonly byte: number }
  | { readonly at: number; readonly word: number }
  | { readonly at: number; readonly add: number }
  | { readonly cut: number }
  | { readonly more: number }

/** In what stands before the IP header, in the IP header, in what follows. */
const placeAround = (ip: number): fc.Arbitrary<number> =>
  fc.oneof(
    { weight: 1, arbitrary: fc.nat(ip - 1) },
    { weight: 5, arbitrary: fc.integer({ min: ip - 2, max: ip + 39 }) },
    { weight: 3, arbitrary: fc.integer({ min: ip + 20, max: ip + 108 }) },
  )
const WORDS = [
  0, 1, 7, 8, 19, 20, 39, 40, 60, 255, 1000, 0x0800, 0x3fff, 0x4000, 0x7fff, 0x86dd, 0xfffe, 0xffff,
]
const changeOf = (place: fc.Arbitrary<number>): fc.Arbitrary<Change> =>
  fc.oneof(
    { weight: 3, arbitrary: fc.record({ at: place, byte: fc.nat(255) }) },
    { weight: 3, arbitrary: fc.record({ at: place, word: fc.constantFrom(...WORDS) }) },
    {
      weight: 4,
      arbitrary: fc.record({ at: place, add: fc.constantFrom(-8, -4, -1, 1, 2, 4, 8) }),
    },
    { weight: 1, arbitrary: fc.record({ cut: fc.nat(140) }) },
    { weight: 1, arbitrary: fc.record({ more: fc.integer({ min: 1, max: 60 }) }) },
  )

function changed(bytes: Uint8Array, changes: readonly Change[]): Uint8Array<ArrayBuffer> {
  let result = Uint8Array.from(bytes)
  for (const step of changes) {
    if ('cut' in step) result = result.slice(0, step.cut)
    else if ('more' in step) result = joined(result, new Uint8Array(step.more).fill(0x45))
    else if (step.at + 2 > result.length) continue
    else if ('byte' in step) result[step.at] = step.byte
    else if ('add' in step) result[step.at]! += step.add
    else result.set([step.word >> 8, step.word & 255], step.at)
  }
  return result
}

/** Whether checksums are made right again, so that a change is not refused for them alone. */
type Repair = 'none' | 'complete' | 'partial' | 'zero'

function repaired(packet: Uint8Array, repair: Repair): Uint8Array {
  const parts = naiveParts(packet)
  if (!parts || repair === 'none') return packet
  const copy = Uint8Array.from(packet)
  const seal = (at: number, sum: () => number): void => {
    copy.set([0, 0], at)
    const checksum = 0xffff - sum() || 0xffff
    copy.set([checksum >> 8, checksum & 255], at)
  }
  const { version, headerLength, protocol, transport } = parts
  if (version === 4) seal(10, () => naiveSum(copy.slice(0, headerLength)))
  if (transport) {
    const pseudo = naivePseudoHeader(copy, version, protocol, transport.covered)
    const end = headerLength + transport.covered
    seal(transport.fieldAt, () =>
      repair === 'partial'
        ? 0xffff - naiveSum(pseudo)
        : naiveSum(joined(pseudo, copy.slice(headerLength, end))),
    )
    if (repair === 'zero') copy.set([0, 0], transport.fieldAt)
  }
  return copy
}

/** Mostly as the worker puts it: an IP header is aligned two bytes past a word. */
const inMemory = fc.record({
  odd: fc.constantFrom(2, 2, 2, 0, 1, 3),
  atEnd: fc.constantFrom(false, false, true),
})

/** In = out + dropped. @returns what of it passed */
function balanced({ counted }: Outcome, direction: 'tx' | 'rx', came: number): number {
  const dropped = (Object.entries(counted) as [CounterName, number][])
    .filter(([name]) => name.startsWith(`${direction}_drop_`))
    .reduce((sum, [, value]) => sum + value, 0)
  const passed = counted[`${direction}_packets`] ?? 0
  assert.equal(passed + dropped, came)
  return passed
}

/** Packets of one flow, each with changes of its own. */
interface Stream {
  readonly kind: number
  readonly isIpv6: boolean
  readonly size: number
  readonly tos: number
  readonly pieces: readonly {
    readonly checksum: 'complete' | 'partial'
    /** That the Ethernet header claims; the right one if 0. */
    readonly etherType: number
    readonly changes: readonly Change[]
    readonly repair: Repair
  }[]
}

const stream: fc.Arbitrary<Stream> = fc.record({
  kind: fc.oneof(fc.constantFrom(0, 1, 2), fc.nat(HONEST.length - 1)),
  isIpv6: fc.boolean(),
  size: fc.oneof(
    // Frames of whole words, as of bulk TCP.
    { weight: 6, arbitrary: fc.constant(202) },
    { weight: 2, arbitrary: fc.nat(300) },
    { weight: 1, arbitrary: fc.constantFrom(1410, 3000) },
  ),
  tos: fc.constantFrom(0, 0xb8, 2, 0xbb),
  pieces: fc.array(
    fc.record({
      checksum: fc.oneof(
        { weight: 7, arbitrary: fc.constant('complete' as const) },
        { weight: 1, arbitrary: fc.constant('partial' as const) },
      ),
      etherType: fc.oneof(
        { weight: 30, arbitrary: fc.constant(0) },
        { weight: 1, arbitrary: fc.constantFrom(0x0800, 0x86dd) },
      ),
      changes: fc.oneof(fc.constant([]), fc.array(changeOf(placeAround(22)), { maxLength: 3 })),
      repair: fc.oneof(
        { weight: 4, arbitrary: fc.constantFrom<Repair>('none', 'complete') },
        { weight: 1, arbitrary: fc.constantFrom<Repair>('partial', 'zero') },
      ),
    }),
    { minLength: 1, maxLength: 5 },
  ),
})

function framesOf({ kind, isIpv6, size, tos, pieces }: Stream): Uint8Array[] {
  return pieces.map(({ checksum, etherType, changes, repair }, index) => {
    const packet: NaivePacket = {
      ...(isIpv6 ? PLAIN6 : PLAIN),
      tos,
      sequence: 1000 + index * size,
      payload: bytesOf(size),
      ...HONEST[kind],
    }
    const header = etherType === 0 ? {} : { type: etherType }
    const frame = changed(naiveFrame(naivePacket(packet, checksum), header), changes)
    return joined(frame.slice(0, 22), repaired(frame.slice(22), repair))
  })
}

/** The length that the inner packet of a frame states. */
function statedLength(frame: Uint8Array): number {
  const view = new DataView(frame.buffer, frame.byteOffset + 22)
  return view.getUint8(0) >> 4 === 6 ? 40 + view.getUint16(4) : view.getUint16(2)
}

/** A datagram is cut at the size that the kernel reports, unless its inner length says it is one frame. */
function framesIn(datagram: Uint8Array, groSize: number): Uint8Array[] {
  if (datagram.length === 0) return []
  if (groSize === 0 || groSize >= datagram.length) return [datagram]
  if (datagram.length >= 42 && statedLength(datagram) === datagram.length - 22) return [datagram]
  return Array.from({ length: Math.ceil(datagram.length / groSize) }, (_, index) =>
    datagram.slice(index * groSize, (index + 1) * groSize),
  )
}

/** A third host, which only its outer address tells from the other. */
function tablesOf(host: 'a' | 'b'): ForwardingTables {
  const tables = dualTablesOf(host)
  const third = { ...tables.remote[0]!, publicIp: HOST_C, vni: 7 }
  const subnets = [parseCidr('10.5.3.0/24'), parseCidr6('fd00:5:3::/64')]
  return {
    ...tables,
    remote: [...tables.remote, ...subnets.map((subnet) => ({ ...third, subnet }))],
  }
}

const HOST_C = parseIpv4('10.9.9.3')
const [tablesA, tablesB] = [tablesOf('a'), tablesOf('b')]
const receiver = new GuardedForwarder(tablesB)

function assertReceivedByRules(
  datagram: Uint8Array,
  at: { odd: number; atEnd: boolean },
  from: { source: number; tos: number; groSize: number },
): void {
  const outcome = receiver.fromUnderlay(datagram, at, from)
  const frames = framesIn(datagram, from.groSize)
  const allowed = frames
    .map((frame) => naiveReceive(frame, tablesB, from))
    .filter((packet) => packet !== null)
  const innerSize = frames.length === 1 ? from.groSize : 0
  const expected = allowed.map((packet) => deliveries(packet, MTU, innerSize))
  const delivered = expected.filter((packets) => packets.length > 0)
  assert.equal(balanced(outcome, 'rx', frames.length), delivered.length)
  assert.deepEqual(byFlow(outcome.written.flatMap(kernelPackets)), byFlow(delivered.flat()))
  assert.deepEqual(outcome.frames, [])
}

test('of hostile datagrams exactly what the naive rules allow is delivered', () => {
  fc.assert(
    fc.property(
      stream,
      fc.oneof(
        { weight: 8, arbitrary: fc.constant('right' as const) },
        { weight: 1, arbitrary: fc.constant(0) },
        { weight: 1, arbitrary: fc.noBias(fc.integer({ min: 1, max: 700 })) },
      ),
      fc.record({
        source: fc.integer({ min: 0, max: 19 }).map((chance) => (chance === 0 ? 1 : HOST_A)),
        tos: fc.constantFrom(0, 0, 0, 1, 2, 3, 0xff),
      }),
      inMemory,
      (given, gro, from, at) => {
        const frames = framesOf(given)
        const groSize = gro === 'right' ? frames[0]!.length : gro
        assertReceivedByRules(joined(...frames), at, { ...from, groSize })
      },
    ),
    { numRuns: 12_000 },
  )
})

test('of noise nothing is delivered but what the naive rules allow', () => {
  fc.assert(
    fc.property(
      fc.uint8Array({ maxLength: 200 }),
      fc.nat(300),
      fc.boolean(),
      inMemory,
      (noise, groSize, hasHeader, at) => {
        const header = naiveFrame(new Uint8Array(0), { type: noise.length % 2 ? 0x0800 : 0x86dd })
        const datagram = hasHeader ? joined(header, noise) : noise
        assertReceivedByRules(datagram, at, { source: HOST_A, tos: 0, groSize })
      },
    ),
    { numRuns: 3000 },
  )
})

const sender = new GuardedForwarder(tablesA)

function assertSentByRules(bytes: Uint8Array, at: { odd: number; atEnd: boolean }): void {
  const outcome = sender.fromContainers(bytes, at)
  const expected = naiveSend(bytes, tablesA)
  assert.equal(balanced(outcome, 'tx', 1), expected === null ? 0 : 1)
  const hex = (frames: readonly Uint8Array[]): string[] =>
    frames.map((frame) => Buffer.from(frame).toString('hex'))
  if (expected === null) assert.deepEqual(outcome.frames, [])
  else if ('frames' in expected) assert.deepEqual(hex(outcome.frames), hex(expected.frames))
  else {
    assert.ok(outcome.frames.length > 1)
    for (const frame of outcome.frames) {
      assert.ok(frame.length - 22 <= expected.fragmentsOf)
      assert.ok(naiveParts(frame.slice(22)))
    }
  }
  // Whatever is answered goes back to who sent the packet.
  const asked = outcome.written.length > 0 ? naiveParts(bytes.slice(10)) : null
  for (const packet of outcome.written.flatMap(kernelPackets)) {
    assert.equal(naiveParts(packet)?.destination, asked?.source)
  }
}

test('of hostile packets from the TUN exactly what the naive rules allow is sent', () => {
  fc.assert(
    fc.property(
      fc.record({
        kind: fc.oneof(fc.constantFrom(0, 1, 2), fc.nat(HONEST.length - 1)),
        isIpv6: fc.boolean(),
        size: fc.constantFrom(0, 1, 100, 1400, 1500, 2500),
        fragment: fc.constantFrom(0x4000, 0),
      }),
      fc.constantFrom('plain', 'partial', 'super'),
      fc.constantFrom(1, 7, 8, 100, 999, 1380, 1400, 3000),
      fc.array(changeOf(placeAround(10)), { maxLength: 3 }),
      inMemory,
      ({ kind, isIpv6, size, fragment }, vnet, gsoSize, changes, at) => {
        const packet = {
          ...(isIpv6 ? PLAIN6 : { ...PLAIN, fragment }),
          payload: bytesOf(gsoSize < 9 ? size % 300 : size),
          ...HONEST[kind],
        }
        const partial = superPacket(packet, gsoSize)
        const bytes =
          vnet === 'super'
            ? partial
            : vnet === 'plain'
              ? withVnet({}, naivePacket(packet))
              : partial.with(1, 0).with(4, 0).with(5, 0)
        assertSentByRules(changed(bytes, changes), at)
      },
    ),
    { numRuns: 10_000 },
  )
})

test('of noise from the TUN nothing is sent but what the naive rules allow', () => {
  fc.assert(fc.property(fc.uint8Array({ maxLength: 120 }), inMemory, assertSentByRules), {
    numRuns: 3000,
  })
})
