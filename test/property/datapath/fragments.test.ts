import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { optionsOfLaterFragments, reassembled } from '../../support/naive-fragments.ts'
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
import { MAC_A, MAC_B, MemoryForwarder, naiveFrame, tablesOf } from '../../support/naive-ports.ts'

const ESP = 50

/** Padding, and options with and without the copy bit, to a multiple of four bytes. */
const options = fc
  .array(
    fc.oneof(
      fc.constant([1]),
      fc
        .tuple(fc.constantFrom(0x44, 0x83, 0x88, 0x07), fc.array(fc.nat(255), { maxLength: 6 }))
        .map(([type, data]) => [type, data.length + 2, ...data]),
    ),
    { maxLength: 4 },
  )
  .map((list) => {
    const flat = list.flat()
    return Uint8Array.from({ length: Math.ceil(flat.length / 4) * 4 }, (_, at) => flat[at] ?? 0)
  })

const packet = (protocol: number, longest: number): fc.Arbitrary<NaivePacket> =>
  fc.record({
    source: fc.constant(PLAIN.source),
    destination: fc.constant(PLAIN.destination),
    protocol: fc.constant(protocol),
    tos: fc.nat(255),
    ttl: fc.nat(255),
    id: fc.nat(0xffff),
    fragment: fc.constantFrom(0, 0x8000),
    ipOptions: options,
    sourcePort: fc.nat(0xffff),
    destinationPort: fc.nat(0xffff),
    sequence: fc.constant(7),
    acknowledgment: fc.constant(9),
    flags: fc.constant(0x10),
    window: fc.constant(100),
    urgent: fc.constant(0),
    tcpOptions: fc.constant(new Uint8Array(0)),
    payload: fc
      .record({ length: fc.integer({ min: 1, max: longest }), seed: fc.nat() })
      .map(({ length, seed }) =>
        Uint8Array.from({ length }, (_, index) => Math.imul(index + seed, 2654435761) >>> 24),
      ),
  })

const mtus = fc.integer({ min: 128, max: 2000 })

/** What left, without the encapsulation, which is checked. */
function packetsFrom(host: MemoryForwarder): Uint8Array[] {
  return host.frames().map((frame) => {
    const inner = frame.slice(22)
    assert.deepEqual(Buffer.from(frame), Buffer.from(naiveFrame(inner, { from: MAC_A, to: MAC_B })))
    return inner
  })
}

function assertLaterOptions(fragments: readonly Uint8Array[], sent: NaivePacket): void {
  const later = optionsOfLaterFragments(sent.ipOptions)
  for (const fragment of fragments.slice(1)) {
    assert.deepEqual(
      Buffer.from(fragment.slice(20, 20 + later.length)),
      Buffer.from(later),
      'options of a later fragment',
    )
  }
}

test('a packet that may be cut leaves in fragments of at most the peer MTU that make it up again', () => {
  fc.assert(
    fc.property(
      fc.constantFrom(TCP, UDP, ESP).chain((protocol) => packet(protocol, 20_000)),
      mtus,
      fc.boolean(),
      fc.nat(1),
      (sent, mtu, partial, odd) => {
        const host = new MemoryForwarder(tablesOf('a', mtu))
        const bytes = naivePacket(sent)
        const csumStart = 20 + sent.ipOptions.length
        const given =
          partial && sent.protocol !== ESP
            ? withVnet(
                { flags: 1, csumStart, csumOffset: sent.protocol === TCP ? 16 : 6 },
                naivePacket(sent, 'partial'),
              )
            : withVnet({}, bytes)
        host.fromContainers(given, odd)
        host.flush()
        const fragments = packetsFrom(host)
        for (const fragment of fragments) assert.ok(fragment.length <= mtu)
        assert.ok(fragments.length <= Math.ceil(bytes.length / (mtu - 60 - 7)))
        assert.deepEqual(Buffer.from(reassembled(fragments)), Buffer.from(bytes))
        assertLaterOptions(fragments, sent)
        assert.equal(host.counted().tx_fragmented ?? 0, bytes.length > mtu ? 1 : 0)
        assert.equal(host.counted().tx_packets, 1)
      },
    ),
    { numRuns: 300 },
  )
})

test('each datagram of a super-packet is fragmented by itself', () => {
  fc.assert(
    fc.property(
      packet(UDP, 30_000),
      fc.integer({ min: 500, max: 5000 }),
      mtus,
      (sent, gsoSize, mtu) => {
        fc.pre(sent.payload.length / gsoSize <= 64)
        const host = new MemoryForwarder(tablesOf('a', mtu))
        host.fromContainers(superPacket(sent, gsoSize))
        host.flush()
        const fragments = packetsFrom(host)
        for (const datagram of naiveSegments(sent, gsoSize)) {
          const count =
            1 +
            fragments.findIndex(
              (fragment) => (fragment[6]! & 0x20) === 0, // no more
            )
          const own = fragments.splice(0, count)
          assert.deepEqual(Buffer.from(reassembled(own)), Buffer.from(naivePacket(datagram)))
          assertLaterOptions(own, datagram)
        }
        assert.deepEqual(fragments, [])
      },
    ),
    { numRuns: 200 },
  )
})

test('a fragment is cut into smaller fragments of the same packet', () => {
  fc.assert(
    fc.property(packet(ESP, 3000), mtus, fc.nat(1000), fc.boolean(), (sent, mtu, offset, more) => {
      const host = new MemoryForwarder(tablesOf('a', mtu))
      const fragment = (more ? 0x2000 : 0) | (offset + 1)
      const bytes = naivePacket({ ...sent, fragment })
      host.fromContainers(withVnet({}, bytes))
      host.flush()
      assert.deepEqual(Buffer.from(reassembled(packetsFrom(host))), Buffer.from(bytes))
    }),
    { numRuns: 200 },
  )
})

test('more fragments in one turn than there is room for their headers all arrive', () => {
  const host = new MemoryForwarder(tablesOf('a', 600))
  // Of many flows, so that many sends wait at a time.
  const datagrams = Array.from({ length: 24 }, (_, id) =>
    naivePacket({
      ...PLAIN,
      protocol: UDP,
      fragment: 0,
      sourcePort: id,
      id,
      payload: Uint8Array.from({ length: 30_000 }, (_, index) => index + id),
    }),
  )
  for (const datagram of datagrams) host.fromContainers(withVnet({}, datagram))
  host.flush()
  const fragments = packetsFrom(host)
  assert.equal(fragments.length, 24 * Math.ceil(30_008 / 576))
  for (const [id, datagram] of datagrams.entries()) {
    const own = fragments.filter((fragment) => fragment[5] === id)
    assert.deepEqual(Buffer.from(reassembled(own)), Buffer.from(datagram))
  }
})
