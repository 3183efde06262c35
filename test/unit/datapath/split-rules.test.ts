/** One vector for each rule by which a super-packet from the TUN becomes frames. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import {
  headerLength,
  isIpv6,
  isSound,
  joined,
  type NaiveExtension,
  type NaivePacket,
  naivePacket,
  parseNaive,
  PLAIN,
  PLAIN6,
  superPacket,
  TCP,
  UDP,
  withVnet,
} from '../../support/naive-packets.ts'
import { dualTablesOf, MemoryForwarder } from '../../support/naive-ports.ts'

const payload = (length: number): Uint8Array =>
  Uint8Array.from({ length }, (_, index) => Math.imul(index + 1, 2654435761) >>> 24)

/** What host A sends for the bytes of a virtio header and packet: the frames' packets. */
function sent(bytes: Uint8Array, mtu = 1450): Uint8Array[] {
  const host = new MemoryForwarder(dualTablesOf('a', mtu))
  host.fromContainers(bytes)
  host.flush()
  return host.frames().map((frame) => frame.slice(22))
}

/** The segments of a super-packet, all of which must be sound. */
function cut(packet: NaivePacket, gsoSize: number): NaivePacket[] {
  return sent(superPacket(packet, gsoSize)).map((bytes) => {
    assert.ok(isSound(bytes), 'lengths and both checksums')
    return parseNaive(bytes)
  })
}

const refused = (bytes: Uint8Array): object => {
  const host = new MemoryForwarder(dualTablesOf('a'))
  host.fromContainers(bytes)
  host.flush()
  assert.deepEqual(host.sent, [])
  return host.counted()
}
const MALFORMED = { tun_packets: 1, tx_drop_malformed: 1 }

const eightBytes = (type: number): NaiveExtension => ({ type, rest: new Uint8Array(7) })
const timestamps = Uint8Array.from([1, 1, 8, 10, 0, 0, 0, 7, 0, 0, 0, 9])

for (const [version, PACKET] of [
  ['IPv4', PLAIN],
  ['IPv6', PLAIN6],
] as const) {
  describe(`over ${version}`, () => {
    const tcp = (change: Partial<NaivePacket> = {}): NaivePacket => ({
      ...PACKET,
      payload: payload(2500),
      ...change,
    })
    const udp = (change: Partial<NaivePacket> = {}): NaivePacket => ({
      ...tcp(change),
      protocol: UDP,
      ...change,
    })

    test('there are as many segments as begun sizes, the last may be short', () => {
      const sizes = (length: number, gsoSize: number): number[] =>
        cut(tcp({ payload: payload(length) }), gsoSize).map((segment) => segment.payload.length)
      assert.deepEqual(sizes(2500, 1000), [1000, 1000, 500])
      assert.deepEqual(sizes(2000, 1000), [1000, 1000])
      assert.deepEqual(sizes(2001, 1000), [1000, 1000, 1])
      assert.deepEqual(sizes(700, 1000), [700], 'a super-packet may hold one segment')
    })

    test('payload is passed on in order, byte for byte, at odd sizes too', () => {
      for (const gsoSize of [999, 1000, 1377]) {
        for (const whole of [tcp(), udp(), tcp({ tcpOptions: timestamps })]) {
          const segments = cut(whole, gsoSize)
          const together = joined(...segments.map((segment) => segment.payload))
          assert.deepEqual(Buffer.from(together), Buffer.from(whole.payload))
        }
      }
    })

    test('sequence numbers advance by the payload before, and wrap', () => {
      const segments = cut(tcp({ sequence: 2 ** 32 - 1500 }), 1000)
      assert.deepEqual(
        segments.map(({ sequence }) => sequence),
        [2 ** 32 - 1500, 2 ** 32 - 500, 500],
      )
    })

    test('FIN and PSH are the last segment’s, CWR the first’s, all other flags everyone’s', () => {
      const flags = (value: number): number[] =>
        cut(tcp({ flags: value, urgent: 77 }), 1000).map((segment) => segment.flags)
      assert.deepEqual(flags(0x01), [0, 0, 0x01])
      assert.deepEqual(flags(0x08), [0, 0, 0x08])
      assert.deepEqual(flags(0x80), [0x80, 0, 0])
      assert.deepEqual(flags(0xff), [0xf6, 0x76, 0x7f])
      assert.deepEqual(flags(0x10), [0x10, 0x10, 0x10])
      assert.deepEqual(flags(0x60), [0x60, 0x60, 0x60], 'ECE and URG')
    })

    test('a segment that is the first and the last has all flags', () => {
      const [only] = cut(tcp({ flags: 0xff, payload: payload(9) }), 1000)
      assert.equal(only?.flags, 0xff)
    })

    test('acknowledgment, window, urgent pointer, ports and options are copied', () => {
      const whole = tcp({ acknowledgment: 0xdeadbeef, urgent: 0x1234, tcpOptions: timestamps })
      for (const segment of cut(whole, 1000)) {
        assert.equal(segment.acknowledgment, 0xdeadbeef)
        assert.equal(segment.window, whole.window)
        assert.equal(segment.urgent, 0x1234)
        assert.deepEqual([segment.sourcePort, segment.destinationPort], [40_000, 80])
        assert.deepEqual(Buffer.from(segment.tcpOptions), Buffer.from(timestamps))
      }
    })

    test('a TCP header of sixty bytes is copied whole', () => {
      const tcpOptions = Uint8Array.from({ length: 40 }, (_, index) => index + 1)
      const segments = cut(tcp({ tcpOptions }), 1000)
      assert.equal(segments.length, 3)
      for (const segment of segments) {
        assert.deepEqual(Buffer.from(segment.tcpOptions), Buffer.from(tcpOptions))
      }
    })

    test('reserved bits beside the TCP header length are copied', () => {
      const bytes = superPacket(tcp(), 1000)
      const at = 10 + headerLength(tcp()) + 12
      const segments = sent(bytes.with(at, bytes[at]! | 0x05))
      assert.deepEqual(
        segments.map((segment) => segment[at - 10]),
        [0x55, 0x55, 0x55],
      )
    })

    test('type of service with its congestion mark and time to live are copied', () => {
      for (const tos of [0xb8, 0xb9, 0xba, 0xbb]) {
        for (const segment of cut(tcp({ tos, ttl: 9 }), 1000)) {
          assert.deepEqual([segment.tos, segment.ttl], [tos, 9])
        }
      }
    })

    test('each datagram has a length of its own and a checksum that is never zero', () => {
      const lengths = cut(udp(), 1000).map((datagram) => datagram.payload.length)
      assert.deepEqual(lengths, [1000, 1000, 500])

      // A word of the second datagram makes its sum what gives a checksum of zero.
      const whole = udp({ payload: payload(2000) })
      const field = headerLength(whole) + 6
      const checksum = (bytes: Uint8Array): number => (bytes[field]! << 8) | bytes[field + 1]!
      const forged = Uint8Array.from(whole.payload)
      forged.set([0, 0], 1000)
      const [, second] = sent(superPacket({ ...whole, payload: forged }, 1000))
      forged.set([checksum(second!) >> 8, checksum(second!) & 255], 1000)
      const [, zero] = sent(superPacket({ ...whole, payload: forged }, 1000))
      assert.equal(checksum(zero!), 0xffff)
      assert.ok(isSound(zero!))
    })

    test('a TCP checksum may come out as zero', () => {
      const whole = tcp({ payload: payload(2000) })
      const field = headerLength(whole) + 16
      const forged = Uint8Array.from(whole.payload)
      forged.set([0, 0], 1000)
      const [, second] = sent(superPacket({ ...whole, payload: forged }, 1000))
      forged.set(second!.slice(field, field + 2), 1000)
      const [, zero] = sent(superPacket({ ...whole, payload: forged }, 1000))
      assert.deepEqual(zero!.slice(field, field + 2), Uint8Array.of(0, 0))
      assert.ok(isSound(zero!))
    })

    test('a super-packet whose checksum field was not prepared is cut like any other', () => {
      const prepared = superPacket(tcp(), 1000)
      const complete = joined(prepared.slice(0, 10), naivePacket(tcp()))
      complete[0] = 0
      assert.deepEqual(sent(complete), sent(prepared))
    })

    test('the header length of the virtio header is not relied on', () => {
      const prepared = superPacket(tcp(), 1000)
      for (const length of [0, 1, 20, 2500, 0xffff]) {
        const lying = prepared.with(2, length & 255).with(3, length >> 8)
        assert.deepEqual(sent(lying), sent(prepared))
      }
    })

    test('the mark of a super-packet with CWR is no other type', () => {
      const prepared = superPacket(tcp({ flags: 0x90 }), 1000)
      assert.deepEqual(sent(prepared.with(1, prepared[1]! | 0x80)), sent(prepared))
    })

    test('a type of the other version, of the other protocol or of none is refused', () => {
      const types = (packet: NaivePacket): number[] =>
        [1, 2, 3, 4, 5, 6, 7, 0x7f].filter((type) => type !== superPacket(packet, 9)[1])
      for (const packet of [tcp(), udp()]) {
        for (const type of types(packet)) {
          assert.deepEqual(refused(superPacket(packet, 1000).with(1, type)), MALFORMED)
        }
      }
      const other = { ...PACKET, protocol: 132, payload: payload(2500) }
      assert.deepEqual(
        refused(withVnet({ gsoType: 1, gsoSize: 1000 }, naivePacket(other))),
        MALFORMED,
      )
    })

    test('a super-packet without payload or without a segment size is refused', () => {
      assert.deepEqual(refused(superPacket(tcp({ payload: payload(0) }), 1000)), MALFORMED)
      assert.deepEqual(refused(superPacket(tcp(), 0)), MALFORMED)
    })

    test('TCP segments smaller than any kernel’s are refused, unless there is only one', () => {
      const sizes = (length: number, gsoSize: number): number[] =>
        cut(tcp({ payload: payload(length) }), gsoSize).map((segment) => segment.payload.length)
      assert.deepEqual(sizes(20, 8), [8, 8, 4])
      assert.deepEqual(sizes(7, 7), [7])
      assert.deepEqual(sizes(1, 1), [1])
      assert.deepEqual(refused(superPacket(tcp({ payload: payload(20) }), 7)), MALFORMED)
      assert.deepEqual(refused(superPacket(tcp({ payload: payload(2) }), 1)), MALFORMED)
      assert.deepEqual(
        cut(udp({ payload: payload(3) }), 1).map((datagram) => datagram.payload.length),
        [1, 1, 1],
        'a datagram may be as small as its sender likes',
      )
    })

    test('a fragment is no super-packet', () => {
      const fragment = isIpv6(PACKET)
        ? tcp({ extensions: [{ type: 44, rest: Uint8Array.from([0, 0, 1, 0, 0, 0, 1]) }] })
        : tcp({ fragment: 0x2000 })
      assert.deepEqual(refused(superPacket(fragment, 1000)), MALFORMED)
    })
  })
}

test('IPv4 identifications count up from the first, and wrap', () => {
  const whole = { ...PLAIN, id: 0xfffe, payload: payload(4000) }
  for (const packet of [whole, { ...whole, protocol: UDP, fragment: 0 }]) {
    assert.deepEqual(
      cut(packet, 1000).map(({ id }) => id),
      [0xfffe, 0xffff, 0, 1],
    )
  }
})

test('IPv4 options, don’t-fragment and the reserved bit are copied', () => {
  const ipOptions = Uint8Array.from({ length: 40 }, () => 1)
  const whole = { ...PLAIN, fragment: 0xc000, ipOptions, payload: payload(2500) }
  for (const protocol of [TCP, UDP]) {
    const segments = cut({ ...whole, protocol }, 1000)
    assert.equal(segments.length, 3)
    for (const segment of segments) {
      assert.equal(segment.fragment, 0xc000)
      assert.deepEqual(Buffer.from(segment.ipOptions), Buffer.from(ipOptions))
    }
  }
})

test('a checksum that needs its carries folded twice is right', () => {
  const whole = { ...PLAIN, id: 0xffff, tos: 0xff, ttl: 0xff, source: 0x0a0501ff }
  const ones = new Uint8Array(2500).fill(0xff)
  const change = { sequence: 0xffff_ff00, acknowledgment: 0xffff_ffff, window: 0xffff }
  assert.equal(cut({ ...whole, ...change, payload: ones }, 999).length, 3)
})

test('IPv6 flow label and extension headers are copied, and count as payload', () => {
  const extensions = [eightBytes(0), eightBytes(60), eightBytes(43), eightBytes(60)]
  const whole = { ...PLAIN6, extensions, payload: payload(2500) }
  for (const protocol of [TCP, UDP]) {
    const packets = sent(superPacket({ ...whole, protocol }, 1000))
    const transport = protocol === TCP ? 20 : 8
    assert.deepEqual(
      packets.map((bytes) => (bytes[4]! << 8) | bytes[5]!),
      [1000, 1000, 500].map((length) => 32 + transport + length),
    )
    for (const bytes of packets) {
      assert.ok(isSound(bytes))
      assert.equal(parseNaive(bytes).flowLabel, 0x12345)
      assert.deepEqual(
        parseNaive(bytes).extensions?.map(({ type }) => type),
        [0, 60, 43, 60],
      )
    }
  }
})

test('headers longer than any sender’s are refused', () => {
  const extensions = (length: number): NaiveExtension[] => [
    { type: 60, rest: new Uint8Array(length - 1).with(0, length / 8 - 1) },
  ]
  const whole = (length: number): NaivePacket => ({
    ...PLAIN6,
    extensions: extensions(length),
    payload: payload(3000),
  })
  assert.equal(cut(whole(424), 500).length, 6)
  assert.deepEqual(refused(superPacket(whole(432), 500)), MALFORMED)
})

test('one send has at most 64 frames and 65,507 bytes', () => {
  const batches = (packet: NaivePacket, gsoSize: number, mtu: number): number[] => {
    const host = new MemoryForwarder(dualTablesOf('a', mtu))
    host.fromContainers(superPacket(packet, gsoSize))
    host.flush()
    for (const { frames } of host.sent) {
      assert.ok(frames.reduce((sum, frame) => sum + frame.length, 0) <= 65_507)
    }
    return host.sent.map(({ frames }) => frames.length)
  }
  const tcp = { ...PLAIN, payload: payload(65_000) }
  assert.deepEqual(batches(tcp, 1398, 1450), [44, 3])
  assert.deepEqual(batches({ ...PLAIN, payload: payload(65_400) }, 8898, 8950), [7, 1])
  assert.deepEqual(batches({ ...PLAIN, payload: payload(6500) }, 100, 1450), [64, 1])
  assert.deepEqual(batches({ ...PLAIN6, payload: payload(65_000) }, 1378, 1450), [44, 4])
})

test('more frames than header memory holds are sent all the same', () => {
  const whole = { ...PLAIN, payload: payload(60_000) }
  const segments = cut(whole, 10)
  assert.equal(segments.length, 6000)
  assert.deepEqual(
    Buffer.from(joined(...segments.map((segment) => segment.payload))),
    Buffer.from(whole.payload),
  )
})
