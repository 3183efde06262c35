import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  naivePacket,
  type NaivePacket,
  PLAIN,
  superPacket,
  UDP,
  withVnet,
  writtenPackets,
} from '../../support/naive-packets.ts'
import { HOST_A, MemoryForwarder, naiveFrame, tablesOf } from '../../support/naive-ports.ts'

const SIZE = 100
const timestamps = (value: number): Uint8Array =>
  Uint8Array.from([1, 1, 8, 10, 0, 0, 0, value, 0, 0, 0, 0])

/** Two packets, the second as if it followed the first, in one turn. @returns how many writes they took */
function writesOf(first: Partial<NaivePacket>, second: Partial<NaivePacket>): number {
  const host = new MemoryForwarder(tablesOf('b'))
  const base = { ...PLAIN, tcpOptions: timestamps(1), payload: new Uint8Array(SIZE).fill(7) }
  const packets = [
    { ...base, ...first },
    { ...base, sequence: base.sequence + SIZE, ...second },
  ].map((packet) => (packet.protocol === UDP ? { ...packet, sequence: 0 } : packet))
  for (const packet of packets)
    host.fromUnderlay(naiveFrame(naivePacket(packet)), { source: HOST_A })
  host.flush()
  assert.equal(host.written.flatMap(writtenPackets).length, 2, 'both are delivered')
  return host.written.length
}

const MERGED: Record<string, [Partial<NaivePacket>, Partial<NaivePacket>]> = {
  'nothing but the sequence number changes': [{}, {}],
  'the second is shorter': [{}, { payload: new Uint8Array(1) }],
  'the second has PSH': [{}, { flags: 0x18 }],
  'both have ECE': [{ flags: 0x50 }, { flags: 0x50 }],
  'identifications are unrelated': [{ id: 9 }, { id: 5 }],
  'both are datagrams of one size': [{ protocol: UDP }, { protocol: UDP }],
}

const APART: Record<string, [Partial<NaivePacket>, Partial<NaivePacket>]> = {
  'the source port differs': [{}, { sourcePort: 1 }],
  'the destination port differs': [{}, { destinationPort: 1 }],
  'the destination differs': [{}, { destination: PLAIN.destination + 1 }],
  'the sequence number skips': [{}, { sequence: PLAIN.sequence + SIZE + 1 }],
  'the acknowledgment differs': [{}, { acknowledgment: 5 }],
  'the window differs': [{}, { window: 5 }],
  'the timestamps differ': [{}, { tcpOptions: timestamps(2) }],
  'there are fewer options': [{}, { tcpOptions: new Uint8Array(0) }],
  'the type of service differs': [{}, { tos: 0x10 }],
  'the congestion mark differs': [{ tos: 2 }, { tos: 3 }],
  'the time to live differs': [{}, { ttl: 62 }],
  'don’t-fragment differs': [{}, { fragment: 0 }],
  'the first has PSH': [{ flags: 0x18 }, {}],
  'the first is the shorter': [
    { payload: new Uint8Array(SIZE - 1), sequence: PLAIN.sequence + 1 },
    {},
  ],
  'only the second has ECE': [{}, { flags: 0x50 }],
  'the second has FIN': [{}, { flags: 0x11 }],
  'the second has SYN': [{}, { flags: 0x12 }],
  'the second has RST': [{}, { flags: 0x14 }],
  'the second has URG': [{}, { flags: 0x30 }],
  'the second has CWR': [{}, { flags: 0x90 }],
  'the second has no ACK': [{}, { flags: 0 }],
  'the second has no payload': [{}, { payload: new Uint8Array(0) }],
  'the second has IP options': [{}, { ipOptions: Uint8Array.from([1, 1, 1, 0]) }],
  'the second datagram is longer': [
    { protocol: UDP },
    { protocol: UDP, payload: new Uint8Array(SIZE + 1) },
  ],
}

for (const [name, [first, second]] of Object.entries(MERGED)) {
  test(`two packets are written as one when ${name}`, () => {
    assert.equal(writesOf(first, second), 1)
  })
}

for (const [name, [first, second]] of Object.entries(APART)) {
  test(`two packets are written apart when ${name}`, () => {
    assert.equal(writesOf(first, second), 2)
  })
}

/** A datagram whose sum comes out so that its checksum would be zero. */
function zeroSum(): NaivePacket {
  const packet = { ...PLAIN, protocol: UDP, payload: new Uint8Array(100) }
  const checksum = new DataView(naivePacket(packet).buffer).getUint16(20 + 6)
  new DataView(packet.payload.buffer).setUint16(0, checksum)
  return packet
}

test('a UDP checksum that comes out as zero is sent as ffff', () => {
  const expected = Buffer.from(naiveFrame(naivePacket(zeroSum())))
  assert.equal(expected.readUInt16BE(22 + 20 + 6), 0xffff)

  const host = new MemoryForwarder(tablesOf('a'))
  const partial = naivePacket(zeroSum(), 'partial')
  host.fromContainers(withVnet({ flags: 1, csumStart: 20, csumOffset: 6 }, partial))
  host.fromContainers(superPacket(zeroSum(), 1000))
  host.flush()
  assert.deepEqual(
    host.frames().map((bytes) => Buffer.from(bytes)),
    [expected, expected],
  )
})
