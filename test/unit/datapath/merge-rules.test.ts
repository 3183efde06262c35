/** One vector for each rule by which frames from the underlay become super-packets for the TUN. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import {
  isSound,
  joined,
  type NaivePacket,
  naivePacket,
  parseNaive,
  PLAIN,
  PLAIN6,
  superPacket,
  UDP,
  withVnet,
  writtenPackets,
} from '../../support/naive-packets.ts'
import { dualTablesOf, HOST_A, MemoryForwarder, naiveFrame } from '../../support/naive-ports.ts'

type Change = Partial<NaivePacket>
type Pair = readonly [Change, Change]

const SIZE = 100
const timestamps = (value: number): Uint8Array =>
  Uint8Array.from([1, 1, 8, 10, 0, 0, 0, value, 0, 0, 0, 0])
const filled = (length: number): Uint8Array => new Uint8Array(length).fill(7)

/** Hands host B the packets, one datagram each, in one turn. */
function received(
  packets: readonly Uint8Array[],
  coalesce = { tcp: true, udp: true },
): MemoryForwarder {
  const host = new MemoryForwarder(dualTablesOf('b'), { coalesce })
  for (const bytes of packets) host.fromUnderlay(naiveFrame(bytes), { source: HOST_A })
  host.flush()
  return host
}

/** A TCP stream or a row of datagrams, of SIZE bytes each, and what is different in them. */
function streamOf(base: NaivePacket, changes: readonly Change[]): NaivePacket[] {
  let { sequence } = base
  return changes.map((change) => {
    const packet = {
      ...base,
      ...(base.protocol === UDP ? {} : { tcpOptions: timestamps(1) }),
      payload: filled(SIZE),
      sequence: base.protocol === UDP ? 0 : sequence,
      ...change,
    }
    sequence = (packet.sequence + packet.payload.length) % 2 ** 32
    return packet
  })
}

/** How many writes it took. What was written must stand for the packets, in their order. */
function writesOf(base: NaivePacket, changes: readonly Change[]): number {
  const packets = streamOf(base, changes)
  const host = received(packets.map((packet) => naivePacket(packet)))
  const plain = (packet: NaivePacket): string =>
    Buffer.from(naivePacket({ ...packet, id: 0 })).toString('hex')
  assert.deepEqual(host.written.flatMap(writtenPackets).map(plain), packets.map(plain))
  return host.written.length
}

const MERGED: Record<string, Pair> = {
  'nothing but the sequence number changes': [{}, {}],
  'the second is shorter': [{}, { payload: filled(1) }],
  'the second has PSH': [{}, { flags: 0x18 }],
  'both have ECE': [{ flags: 0x50 }, { flags: 0x50 }],
  'both are marked for congestion': [{ tos: 3 }, { tos: 3 }],
  'the sequence number wraps between them': [{ sequence: 2 ** 32 - SIZE }, { sequence: 0 }],
  'the sequence number wraps within the first': [{ sequence: 2 ** 32 - 9 }, {}],
  'both have forty bytes of options': [{ tcpOptions: filled(40) }, { tcpOptions: filled(40) }],
  'neither has options': [{ tcpOptions: filled(0) }, { tcpOptions: filled(0) }],
}

const APART: Record<string, Pair> = {
  'the source port differs': [{}, { sourcePort: 1 }],
  'the destination port differs': [{}, { destinationPort: 1 }],
  'the sequence number skips': [{}, { sequence: PLAIN.sequence + SIZE + 1 }],
  'the sequence number is before': [{}, { sequence: PLAIN.sequence }],
  'the acknowledgment differs': [{}, { acknowledgment: 5 }],
  'the window differs': [{}, { window: 5 }],
  'the urgent pointer differs': [{}, { urgent: 5 }],
  'the timestamps differ': [{}, { tcpOptions: timestamps(2) }],
  'the first byte of the options differs': [{}, { tcpOptions: timestamps(1).with(0, 0) }],
  'the last byte of the options differs': [{}, { tcpOptions: timestamps(1).with(11, 1) }],
  'there are fewer options': [{}, { tcpOptions: filled(0) }],
  'the type of service differs': [{}, { tos: 0x10 }],
  'the congestion mark differs': [{ tos: 2 }, { tos: 3 }],
  'the time to live differs': [{}, { ttl: 62 }],
  'the first has PSH': [{ flags: 0x18 }, {}],
  'the first is the shorter': [{ payload: filled(SIZE - 1) }, {}],
  'only the second has ECE': [{}, { flags: 0x50 }],
  'the second has FIN': [{}, { flags: 0x11 }],
  'the second has SYN': [{}, { flags: 0x12 }],
  'the second has RST': [{}, { flags: 0x14 }],
  'the second has URG': [{}, { flags: 0x30 }],
  'the second has CWR': [{}, { flags: 0x90 }],
  'the second has no ACK': [{}, { flags: 0 }],
  'the first has FIN': [{ flags: 0x11 }, {}],
  'the first has CWR': [{ flags: 0x90 }, {}],
  'the second has no payload': [{}, { payload: filled(0) }],
}

const MERGED_UDP: Record<string, Pair> = {
  'they are of one size': [{}, {}],
  'the second is shorter': [{}, { payload: filled(1) }],
  'they have one byte each': [{ payload: filled(1) }, { payload: filled(1) }],
}

const APART_UDP: Record<string, Pair> = {
  'the second is longer': [{}, { payload: filled(SIZE + 1) }],
  'the first is the shorter': [{ payload: filled(SIZE - 1) }, {}],
  'the source port differs': [{}, { sourcePort: 1 }],
  'the destination port differs': [{}, { destinationPort: 1 }],
  'the congestion mark differs': [{ tos: 2 }, { tos: 3 }],
  'the time to live differs': [{}, { ttl: 62 }],
  'the second is empty': [{}, { payload: filled(0) }],
  'both are empty': [{ payload: filled(0) }, { payload: filled(0) }],
}

const otherOption = Uint8Array.from([1, 1, 1, 0])
const MERGED_IPV4: Record<string, Pair> = {
  'identifications are unrelated': [{ id: 9 }, { id: 5 }],
}
const APART_IPV4: Record<string, Pair> = {
  'the source differs': [{}, { source: PLAIN.source + 1 }],
  'the destination differs': [{}, { destination: PLAIN.destination + 1 }],
  'don’t-fragment differs': [{}, { fragment: 0 }],
  'the reserved bit differs': [{}, { fragment: 0xc000 }],
  'the second has options': [{}, { ipOptions: otherOption }],
  'both have the same options': [{ ipOptions: otherOption }, { ipOptions: otherOption }],
}

const padding = [{ type: 60, rest: Uint8Array.from([0, 1, 4, 0, 0, 0, 0]) }]
const APART_IPV6: Record<string, Pair> = {
  'the source differs': [{}, { source: PLAIN6.source + 1n }],
  'the destination differs': [{}, { destination: PLAIN6.destination + 1n }],
  'another bit of the source differs': [{}, { source: PLAIN6.source + 2n ** 63n }],
  'the flow label differs': [{}, { flowLabel: 5 }],
  'the second has an extension header': [{}, { extensions: padding }],
  'both have the same extension header': [{ extensions: padding }, { extensions: padding }],
}

for (const [version, PACKET, merged, apart] of [
  ['IPv4', PLAIN, MERGED_IPV4, APART_IPV4],
  ['IPv6', PLAIN6, {}, APART_IPV6],
] as const) {
  const DATAGRAM = { ...PACKET, protocol: UDP, sequence: 0, acknowledgment: 0, flags: 0, window: 0 }

  describe(`over ${version}`, () => {
    for (const [what, base, together, separate] of [
      ['segments', PACKET, { ...MERGED, ...merged }, { ...APART, ...apart }],
      ['datagrams', DATAGRAM, { ...MERGED_UDP, ...merged }, { ...APART_UDP, ...apart }],
    ] as const) {
      for (const [name, changes] of Object.entries(together)) {
        test(`two ${what} are written as one when ${name}`, () => {
          assert.equal(writesOf(base, changes), 1)
        })
      }
      for (const [name, changes] of Object.entries(separate)) {
        test(`two ${what} are written apart when ${name}`, () => {
          assert.equal(writesOf(base, changes), 2)
        })
      }
    }

    test('reserved bits beside the TCP header length must be the same', () => {
      const [first, second] = streamOf(PACKET, [{}, {}]).map((packet) => naivePacket(packet))
      const at = first!.length - SIZE - 32
      // 1 less in the checksum for 1 more in the sum.
      const field = new DataView(second!.buffer)
      field.setUint16(at + 12, field.getUint16(at + 12) + 0x100)
      field.setUint16(at + 16, field.getUint16(at + 16) - 0x100)
      assert.equal(received([first!, second!]).written.length, 2)
      assert.equal(received([second!]).counted().rx_packets, 1, 'the checksum is right')
    })

    test('a short segment ends a super-packet, the next begins another', () => {
      const short = { payload: filled(SIZE - 1) }
      assert.equal(writesOf(PACKET, [{}, {}, short, {}, {}]), 2)
      assert.equal(writesOf(DATAGRAM, [{}, {}, short, {}, {}]), 2)
    })

    test('PSH ends a super-packet, which has it', () => {
      assert.equal(writesOf(PACKET, [{}, { flags: 0x18 }, {}, {}]), 2)
    })

    for (const [name, stranger] of Object.entries<Change>({
      'a pure acknowledgment': { payload: filled(0) },
      'a FIN': { flags: 0x11 },
      'a RST': { flags: 0x14 },
    })) {
      test(`${name} overtakes nothing of its flow`, () => {
        assert.ok(writesOf(PACKET, [{}, {}, stranger, {}]) >= 3)
      })
    }

    test('a retransmission begins a super-packet of its own', () => {
      assert.equal(writesOf(PACKET, [{}, {}, { sequence: PLAIN.sequence }, {}]), 2)
    })

    test('a segment with a wrong checksum is dropped, those around it are not joined', () => {
      const packets = streamOf(PACKET, [{}, {}, {}]).map((packet) => naivePacket(packet))
      const last = packets[1]!.length - 1
      packets[1]![last]! ^= 1
      const host = received(packets)
      assert.equal(host.counted().rx_drop_checksum, 1)
      assert.equal(host.written.length, 2)
    })

    test('a segment whose checksum is partial is written alone, in order', () => {
      for (const base of [PACKET, DATAGRAM]) {
        const [a, b, c] = streamOf(base, [{}, {}, {}])
        const host = received([naivePacket(a!), naivePacket(b!, 'partial'), naivePacket(c!)])
        assert.equal(host.written.length, 3)
        assert.deepEqual(
          host.written.map((written) => written[0]),
          [0, 1, 0],
        )
        assert.deepEqual(
          host.written.flatMap(writtenPackets).map(({ sequence }) => sequence),
          [a, b, c].map((packet) => packet!.sequence),
        )
      }
    })

    test('flows in turns are joined each for itself', () => {
      const flows = [1, 2, 3].map((sourcePort) => streamOf({ ...PACKET, sourcePort }, [{}, {}, {}]))
      const turns = [0, 1, 2].flatMap((index) => flows.map((flow) => flow[index]!))
      assert.equal(received(turns.map((packet) => naivePacket(packet))).written.length, 3)
    })

    test('a datagram without a checksum joins nothing', () => {
      const packets = streamOf(DATAGRAM, [{}, {}]).map((packet) => naivePacket(packet))
      for (const bytes of packets) bytes.fill(0, bytes.length - SIZE - 2, bytes.length - SIZE)
      assert.deepEqual(
        received(packets).written.map((bytes) => Buffer.from(bytes)),
        packets.map((bytes) => Buffer.from(withVnet({}, bytes))),
      )
    })

    test('a datagram with options behind it joins nothing', () => {
      const packets = streamOf(DATAGRAM, [{}, {}]).map((packet) => {
        const [shorter, bytes] = [SIZE, SIZE + 4].map((size) =>
          naivePacket({ ...packet, payload: filled(size) }),
        )
        // UDP header and payload of the shorter, in a packet that goes on for four bytes.
        const at = bytes!.length - SIZE - 12
        bytes!.set(shorter!.slice(at), at)
        return bytes!
      })
      const host = received(packets)
      assert.equal(host.counted().rx_packets, 2)
      assert.equal(host.written.length, 2)
    })

    test('a fragment overtakes nothing between its addresses', () => {
      const fragment = naivePacket({
        ...PACKET,
        protocol: UDP,
        ...(version === 'IPv4'
          ? { fragment: 0x2000 }
          : { extensions: [{ type: 44, rest: Uint8Array.from([0, 0, 1, 0, 0, 0, 1]) }] }),
        payload: filled(64),
      })
      const [a, b, c] = streamOf(DATAGRAM, [{}, {}, {}]).map((packet) => naivePacket(packet))
      const { written } = received([a!, b!, fragment, c!])
      assert.equal(written.length, 3)
      assert.deepEqual(Buffer.from(written[1]!.slice(10)), Buffer.from(fragment))
    })

    test('at most 64 datagrams are joined', () => {
      const host = received(
        streamOf(
          DATAGRAM,
          Array.from({ length: 65 }, () => ({})),
        ).map((packet) => naivePacket(packet)),
      )
      assert.deepEqual(
        host.written.map((written) => writtenPackets(written).length),
        [64, 1],
      )
    })

    test('a super-packet stays below the largest length an IP header can state', () => {
      const packets = streamOf(
        PACKET,
        Array.from({ length: 60 }, () => ({ payload: filled(1378) })),
      )
      const host = received(packets.map((packet) => naivePacket(packet)))
      const lengths = host.written.map((written) => written.length - 10)
      assert.deepEqual(lengths.length, 2)
      assert.ok(lengths[0]! > 63_000 && lengths[0]! <= 65_000, `${lengths[0]}`)
      assert.equal(host.written.flatMap(writtenPackets).length, 60)
    })

    test('what is joined says how it is to be cut again', () => {
      const packets = streamOf(PACKET, [{}, {}, { flags: 0x18, payload: filled(30) }])
      const whole = { ...packets[0]!, flags: 0x18, payload: filled(2 * SIZE + 30) }
      const expected = superPacket(whole, SIZE)
      const header = expected.length - whole.payload.length - 10
      const [written] = received(packets.map((packet) => naivePacket(packet))).written
      assert.deepEqual(
        Buffer.from(written!),
        Buffer.from(expected.with(2, header & 255).with(3, header >> 8)),
      )
    })

    test('where the kernel takes no super-packets of UDP datagrams stay apart', () => {
      const options = { tcp: true, udp: false }
      for (const [base, writes] of [
        [PACKET, 1],
        [DATAGRAM, 2],
      ] as const) {
        const bytes = streamOf(base, [{}, {}]).map((packet) => naivePacket(packet))
        assert.equal(received(bytes, options).written.length, writes)
      }
    })

    test('a congestion mark of the way is set before segments are compared', () => {
      const host = new MemoryForwarder(dualTablesOf('b'))
      const packets = streamOf(PACKET, [{ tos: 2 }, { tos: 3 }, { tos: 2 }])
      for (const [index, tos] of [3, 0, 0].entries()) {
        const frame = naiveFrame(naivePacket(packets[index]!))
        host.fromUnderlay(frame, { source: HOST_A, tos })
      }
      host.flush()
      assert.deepEqual(
        host.written.map((written) => writtenPackets(written).map(({ tos }) => tos)),
        [[3, 3], [2]],
      )
    })
  })
}

test('a TCP super-packet that another device never cut is cut at the peer MTU, whatever its version', () => {
  for (const [packet, size] of [
    [PLAIN, 1410],
    [PLAIN6, 1390],
  ] as const) {
    const whole = { ...packet, payload: filled(5000) }
    for (const checksum of ['partial', 'complete'] as const) {
      const [written] = received([naivePacket(whole, checksum)]).written
      const segments = writtenPackets(written!)
      assert.equal(segments[0]!.payload.length, size)
      const together = joined(...segments.map(({ payload }) => payload))
      assert.deepEqual(Buffer.from(together), Buffer.from(whole.payload))
      for (const segment of segments) assert.ok(isSound(naivePacket(segment)))
    }
  }
})

test('an oversize datagram that is one segment is written as it came', () => {
  for (const base of [PLAIN, PLAIN6]) {
    const whole = naivePacket({ ...base, protocol: UDP, payload: filled(2000) })
    const host = new MemoryForwarder(dualTablesOf('b'))
    host.fromUnderlay(naiveFrame(whole), { source: HOST_A, groSize: 3000 })
    host.flush()
    assert.deepEqual(
      host.written.map((bytes) => Buffer.from(bytes)),
      [Buffer.from(withVnet({}, whole))],
    )
  }
})

test('an oversize datagram with options behind it is not cut', () => {
  const whole = naivePacket({ ...PLAIN, protocol: UDP, payload: new Uint8Array(2000) })
  const shorter = naivePacket({ ...PLAIN, protocol: UDP, payload: new Uint8Array(1900) })
  const bytes = joined(whole.slice(0, 20), shorter.slice(20, 28), whole.slice(28))
  const host = new MemoryForwarder(dualTablesOf('b'))
  host.fromUnderlay(naiveFrame(bytes), { source: HOST_A, groSize: 1000 })
  host.flush()
  assert.deepEqual(
    host.written.map((written) => Buffer.from(written)),
    [Buffer.from(withVnet({}, bytes))],
  )
})

test('TCP and UDP of the same ports are flows of their own', () => {
  const [tcp, udp] = [PLAIN, { ...PLAIN, protocol: UDP }].map((base) => streamOf(base, [{}, {}]))
  const turns = [tcp![0]!, udp![0]!, tcp![1]!, udp![1]!].map((packet) => naivePacket(packet))
  assert.equal(received(turns).written.length, 2)
})

test('packets of both versions and of other flows between them are kept apart', () => {
  const packets = [PLAIN, PLAIN6].flatMap((base) => streamOf(base, [{}, {}]))
  const [a, b, c, d] = packets.map((packet) => naivePacket(packet))
  const { written } = received([a!, c!, b!, d!])
  assert.equal(written.length, 2)
  assert.deepEqual(
    written.map((bytes) => parseNaive(bytes.slice(10)).payload.length),
    [2 * SIZE, 2 * SIZE],
  )
})
