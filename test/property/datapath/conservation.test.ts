import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { COUNTER_NAMES, type CounterName } from '../../../src/datapath/counters.ts'
import {
  naivePacket,
  naiveSegments,
  type NaivePacket,
  PLAIN,
  PLAIN6,
  superPacket,
  TCP,
  UDP,
  withVnet,
  writtenPackets,
} from '../../support/naive-packets.ts'
import {
  dualTablesOf,
  HOST_A,
  HOST_B,
  MemoryForwarder,
  naiveFrame,
} from '../../support/naive-ports.ts'

const ICMP_ANSWERS = [1, 58]
const data = Uint8Array.from({ length: 12_000 }, (_, index) => Math.imul(index, 40503) >>> 8)

const packet: fc.Arbitrary<NaivePacket> = fc
  .record({
    plain: fc.constantFrom(PLAIN, PLAIN6),
    protocol: fc.constantFrom(TCP, UDP, 50),
    sourcePort: fc.integer({ min: 1, max: 3 }),
    fragment: fc.constantFrom(0, 0x4000),
    // The naive parser looks for ports in every protocol.
    length: fc.integer({ min: 8, max: 2000 }),
    tos: fc.nat(3),
    stranger: fc.constantFrom(false, false, false, true),
  })
  .map(({ plain, protocol, sourcePort, fragment, length, tos, stranger }) => ({
    ...plain,
    ...(stranger ? { destination: plain === PLAIN ? 1 : 1n } : {}),
    protocol,
    sourcePort,
    tos,
    fragment: plain === PLAIN ? fragment : 0,
    payload: data.slice(0, length),
  }))

/** One thing that happens to the forwarder of host A. */
type Event = (host: MemoryForwarder) => void

const single: fc.Arbitrary<Event> = packet.map(
  (packet) => (host) => host.fromContainers(withVnet({}, naivePacket(packet))),
)

const whole: fc.Arbitrary<Event> = fc
  .tuple(packet, fc.integer({ min: 1, max: 12_000 }), fc.integer({ min: 200, max: 1500 }))
  .map(([packet, length, gsoSize]) => (host) => {
    const large = { ...packet, protocol: packet.protocol === UDP ? UDP : TCP }
    host.fromContainers(superPacket({ ...large, payload: data.slice(0, length) }, gsoSize))
  })

const noise: fc.Arbitrary<Event> = fc
  .uint8Array({ maxLength: 100 })
  .map((bytes) => (host) => host.fromContainers(bytes))

/** From host B, so with the addresses the other way round; sometimes spoiled, sometimes several at once. */
const frames: fc.Arbitrary<Event> = fc
  .record({
    packet,
    tos: fc.nat(3),
    count: fc.integer({ min: 1, max: 5 }),
    spoiled: fc.option(fc.nat(80), { nil: null }),
    known: fc.constantFrom(true, true, true, false),
  })
  .map(({ packet, tos, count, spoiled, known }) => (host) => {
    const { source, destination } = packet
    // Small enough not to be cut for the TUN, which would make several packets of one.
    const payload = packet.payload.slice(0, 1200)
    const back = { ...packet, source: destination, destination: source, payload }
    const frame = naiveFrame(naivePacket(back), {
      to: '02:00:00:00:00:0a',
      from: '02:00:00:00:00:0b',
    })
    if (spoiled !== null) frame[spoiled % frame.length]! ^= 0x55
    const joined = Buffer.concat(Array<Uint8Array>(count).fill(frame))
    const groSize = count > 1 ? frame.length : 0
    host.fromUnderlay(joined, { source: known ? HOST_B : HOST_A, tos, groSize })
  })

const path: fc.Arbitrary<Event> = fc
  .integer({ min: 600, max: 1600 })
  .map((mtu) => (host) => void host.pathMtus.set(HOST_B, mtu))

const turn: fc.Arbitrary<Event> = fc.constant((host) => host.flush())

function sumOf(host: MemoryForwarder, ...names: readonly (CounterName | RegExp)[]): number {
  const counted = host.counted()
  return COUNTER_NAMES.filter((name) =>
    names.some((wanted) => (wanted instanceof RegExp ? wanted.test(name) : wanted === name)),
  ).reduce((sum, name) => sum + (counted[name] ?? 0), 0)
}

function assertBalanced(host: MemoryForwarder): void {
  assert.equal(sumOf(host, 'tun_packets'), sumOf(host, 'tx_packets', /^tx_drop_/))
  assert.equal(sumOf(host, 'rx_frames'), sumOf(host, 'rx_packets', /^rx_drop_/))
  const accounted = sumOf(host, 'tx_retried', /^tx_lost_/)
  assert.equal(sumOf(host, 'tx_frames'), host.frames().length + accounted)

  const written = host.written.flatMap((bytes) => writtenPackets(bytes))
  const answers = written.filter(({ protocol }) => ICMP_ANSWERS.includes(protocol)).length
  assert.equal(answers, sumOf(host, 'tx_icmp_too_big'))
  assert.equal(written.length - answers, sumOf(host, 'rx_packets'))
  assert.ok(
    sumOf(host, 'tx_icmp_too_big', 'tx_icmp_limited') <=
      sumOf(host, 'tx_drop_too_big', 'tx_lost_too_big'),
  )
}

test('whatever happens, what came in is what went out and what was dropped, each under one name', () => {
  fc.assert(
    fc.property(
      fc.array(fc.oneof(single, whole, noise, frames, path, turn), { maxLength: 40 }),
      fc.constantFrom(1300, 1450),
      (events, mtu) => {
        const host = new MemoryForwarder(dualTablesOf('a', mtu))
        for (const event of events) event(host)
        host.flush()
        assertBalanced(host)
      },
    ),
    { numRuns: 400 },
  )
})

test('as many frames are made as there are segments, datagrams and fragments to make', () => {
  fc.assert(
    fc.property(packet, fc.integer({ min: 200, max: 1500 }), (packet, gsoSize) => {
      fc.pre(typeof packet.destination === 'bigint' || packet.destination > 1)
      fc.pre(packet.protocol !== 50 && packet.destination !== 1n)
      const host = new MemoryForwarder(dualTablesOf('a', 1300))
      const large = { ...packet, payload: data.slice(0, packet.payload.length * 6) }
      host.fromContainers(superPacket(large, gsoSize))
      host.flush()
      const headers =
        (typeof packet.source === 'bigint' ? 40 : 20) + (packet.protocol === TCP ? 20 : 8)
      const isTcp = packet.protocol === TCP
      const size = isTcp ? Math.min(gsoSize, 1300 - headers) : gsoSize
      const mayFragment = typeof packet.source === 'number' && packet.fragment === 0
      const expected = naiveSegments(large, size).reduce((sum, segment) => {
        const length = naivePacket(segment).length
        if (length <= 1300) return sum + 1
        // Of 1,300 bytes 1,280 are left, a multiple of eight.
        return mayFragment ? sum + Math.ceil((length - 20) / 1280) : NaN
      }, 0)
      const { tx_frames = 0, tx_drop_too_big = 0 } = host.counted()
      assert.equal(tx_drop_too_big, Number.isNaN(expected) ? 1 : 0)
      assert.equal(tx_frames, Number.isNaN(expected) ? 0 : expected)
      assertBalanced(host)
    }),
    { numRuns: 400 },
  )
})
