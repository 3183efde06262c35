/** How frames from the underlay become super-packets for the TUN: limits, order, and what is said of them. */
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
import {
  filled,
  received,
  receivedJoined,
  SIZE,
  streamOf,
  VERSIONS,
  writesOf,
} from '../../support/naive-streams.ts'

for (const { version, segment, datagram } of VERSIONS) {
  describe(`over ${version}`, () => {
    test('reserved bits beside the TCP header length must be the same', () => {
      const [first, second] = streamOf(segment, [{}, {}]).map((packet) => naivePacket(packet))
      const at = first!.length - SIZE - 32
      // 1 less in the checksum for 1 more in the sum.
      const field = new DataView(second!.buffer)
      field.setUint16(at + 12, field.getUint16(at + 12) + 0x100)
      field.setUint16(at + 16, field.getUint16(at + 16) - 0x100)
      assert.equal(received([first!, second!]).written.length, 2)
      assert.equal(receivedJoined([first!, second!]).written.length, 2)
      assert.equal(received([second!]).counted().rx_packets, 1, 'the checksum is right')
    })

    test('a short segment ends a super-packet, the next begins another', () => {
      const short = { payload: filled(SIZE - 1) }
      assert.equal(writesOf(segment, [{}, {}, short, {}, {}]), 2)
      assert.equal(writesOf(datagram, [{}, {}, short, {}, {}]), 2)
    })

    test('PSH ends a super-packet, which has it', () => {
      assert.equal(writesOf(segment, [{}, { flags: 0x18 }, {}, {}]), 2)
    })

    for (const [name, stranger] of Object.entries<Partial<NaivePacket>>({
      'a pure acknowledgment': { payload: filled(0) },
      'a FIN': { flags: 0x11 },
      'a RST': { flags: 0x14 },
    })) {
      test(`${name} overtakes nothing of its flow`, () => {
        assert.ok(writesOf(segment, [{}, {}, stranger, {}]) >= 3)
      })
    }

    test('a retransmission begins a super-packet of its own', () => {
      assert.equal(writesOf(segment, [{}, {}, { sequence: PLAIN.sequence }, {}]), 2)
    })

    test('a segment with a wrong checksum is dropped, those around it are not joined', () => {
      const packets = streamOf(segment, [{}, {}, {}]).map((packet) => naivePacket(packet))
      const last = packets[1]!.length - 1
      packets[1]![last]! ^= 1
      for (const host of [received(packets), receivedJoined(packets)]) {
        assert.equal(host.counted().rx_drop_checksum, 1)
        assert.equal(host.written.length, 2)
      }
    })

    test('a segment whose checksum is partial is written alone, in order', () => {
      for (const base of [segment, datagram]) {
        const [a, b, c] = streamOf(base, [{}, {}, {}])
        const bytes = [naivePacket(a!), naivePacket(b!, 'partial'), naivePacket(c!)]
        for (const { written } of [received(bytes), receivedJoined(bytes)]) {
          assert.deepEqual(
            written.map((packet) => packet[0]),
            [0, 1, 0],
          )
          assert.deepEqual(
            written.flatMap(writtenPackets).map(({ sequence }) => sequence),
            [a, b, c].map((packet) => packet!.sequence),
          )
        }
      }
    })

    test('flows in turns are joined each for itself', () => {
      const flows = [1, 2, 3].map((sourcePort) =>
        streamOf({ ...segment, sourcePort }, [{}, {}, {}]),
      )
      const turns = [0, 1, 2].flatMap((index) => flows.map((flow) => flow[index]!))
      assert.equal(received(turns.map((packet) => naivePacket(packet))).written.length, 3)
    })

    test('a datagram without a checksum joins nothing', () => {
      const packets = streamOf(datagram, [{}, {}]).map((packet) => naivePacket(packet))
      for (const bytes of packets) bytes.fill(0, bytes.length - SIZE - 2, bytes.length - SIZE)
      for (const { written } of [received(packets), receivedJoined(packets)]) {
        assert.deepEqual(
          written.map((bytes) => Buffer.from(bytes)),
          packets.map((bytes) => Buffer.from(withVnet({}, bytes))),
        )
      }
    })

    test('a datagram with options behind it joins nothing', () => {
      const packets = streamOf(datagram, [{}, {}]).map((packet) => {
        const [shorter, bytes] = [SIZE, SIZE + 4].map((size) =>
          naivePacket({ ...packet, payload: filled(size) }),
        )
        // UDP header and payload of the shorter, in a packet that goes on for four bytes.
        const at = bytes!.length - SIZE - 12
        bytes!.set(shorter!.slice(at), at)
        return bytes!
      })
      for (const host of [received(packets), receivedJoined(packets)]) {
        assert.equal(host.counted().rx_packets, 2)
        assert.equal(host.written.length, 2)
      }
    })

    test('a fragment overtakes nothing between its addresses', () => {
      const fragment = naivePacket({
        ...segment,
        protocol: UDP,
        ...(version === 'IPv4'
          ? { fragment: 0x2000 }
          : { extensions: [{ type: 44, rest: Uint8Array.from([0, 0, 1, 0, 0, 0, 1]) }] }),
        payload: filled(64),
      })
      const [a, b, c] = streamOf(datagram, [{}, {}, {}]).map((packet) => naivePacket(packet))
      const { written } = received([a!, b!, fragment, c!])
      assert.equal(written.length, 3)
      assert.deepEqual(Buffer.from(written[1]!.slice(10)), Buffer.from(fragment))
    })

    test('at most 64 datagrams are joined', () => {
      const changes = Array.from({ length: 65 }, () => ({}))
      const packets = streamOf(datagram, changes).map((packet) => naivePacket(packet))
      for (const { written } of [received(packets), receivedJoined(packets)]) {
        assert.deepEqual(
          written.map((bytes) => writtenPackets(bytes).length),
          [64, 1],
        )
      }
    })

    test('a super-packet stays below the largest length an IP header can state', () => {
      const packets = streamOf(
        segment,
        Array.from({ length: 60 }, () => ({ payload: filled(1378) })),
      )
      const bytes = packets.map((packet) => naivePacket(packet))
      for (const { written } of [received(bytes), receivedJoined(bytes)]) {
        const lengths = written.map((packet) => packet.length - 10)
        assert.deepEqual(lengths.length, 2)
        assert.ok(lengths[0]! > 63_000 && lengths[0]! <= 65_000, `${lengths[0]}`)
        assert.equal(written.flatMap(writtenPackets).length, 60)
      }
    })

    test('what is joined says how it is to be cut again', () => {
      const packets = streamOf(segment, [{}, {}, { flags: 0x18, payload: filled(30) }])
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
        [segment, 1],
        [datagram, 2],
      ] as const) {
        const bytes = streamOf(base, [{}, {}]).map((packet) => naivePacket(packet))
        assert.equal(received(bytes, options).written.length, writes)
      }
    })

    test('a congestion mark of the way is set before segments are compared', () => {
      const host = new MemoryForwarder(dualTablesOf('b'))
      const packets = streamOf(segment, [{ tos: 2 }, { tos: 3 }, { tos: 2 }])
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

test('several datagrams in one with options behind them cannot be cut, and whole they are none', () => {
  const whole = naivePacket({ ...PLAIN, protocol: UDP, payload: new Uint8Array(2000) })
  const shorter = naivePacket({ ...PLAIN, protocol: UDP, payload: new Uint8Array(1900) })
  const bytes = joined(whole.slice(0, 20), shorter.slice(20, 28), whole.slice(28))
  const host = new MemoryForwarder(dualTablesOf('b'))
  host.fromUnderlay(naiveFrame(bytes), { source: HOST_A, groSize: 1000 })
  host.flush()
  assert.deepEqual(host.written, [])
  assert.deepEqual(host.counted(), { rx_frames: 1, rx_drop_uncut: 1 })
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
