import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as kinds from '../../../src/packet/classify.ts'
import { flowHash } from '../../../src/packet/flow-hash.ts'
import {
  joined,
  type NaiveExtension,
  type NaivePacket,
  naivePacket,
  PLAIN,
  PLAIN6,
  UDP,
} from '../../support/naive-packets.ts'

function classified(bytes: Uint8Array, length = bytes.length): kinds.InnerPacket {
  const packet = new kinds.InnerPacket()
  kinds.classify(bytes, 0, length, packet)
  return packet
}

const payload = Uint8Array.from([1, 2, 3])

test('a TCP packet with IP and TCP options is taken apart', () => {
  const packet = classified(
    naivePacket({
      ...PLAIN,
      ipOptions: new Uint8Array(8),
      tcpOptions: new Uint8Array(12),
      payload,
    }),
  )
  assert.equal(packet.kind, kinds.KIND_TCP)
  assert.equal(packet.headerLength, 28)
  assert.equal(packet.transportAt, 28)
  assert.equal(packet.transportHeaderLength, 32)
  assert.equal(packet.payloadAt, 60)
  assert.equal(packet.payloadLength, 3)
  assert.equal(packet.source, PLAIN.source)
  assert.equal(packet.destination, PLAIN.destination)
})

test('kinds are told apart', () => {
  assert.equal(classified(naivePacket({ ...PLAIN, protocol: UDP })).kind, kinds.KIND_UDP)
  assert.equal(classified(naivePacket({ ...PLAIN, protocol: 1 })).kind, kinds.KIND_OTHER)
  assert.equal(classified(naivePacket({ ...PLAIN, fragment: 0x2000 })).kind, kinds.KIND_FRAGMENT)
  assert.equal(classified(naivePacket({ ...PLAIN, fragment: 0x00b9 })).kind, kinds.KIND_FRAGMENT)
})

test('a header or length that does not fit what is there is malformed', () => {
  const tcp = naivePacket({ ...PLAIN, payload })
  const udp = naivePacket({ ...PLAIN, protocol: UDP, payload })
  const changed = (bytes: Uint8Array, at: number, value: number): Uint8Array =>
    bytes.with(at, value)
  const cases = {
    'nothing at all': new Uint8Array(0),
    'version 5': changed(tcp, 0, 0x55),
    'a header of 16 bytes': changed(tcp, 0, 0x44),
    'a header longer than the packet': changed(tcp, 0, 0x4f),
    'a header longer than a packet of another protocol': changed(
      naivePacket({ ...PLAIN, protocol: 1, payload }),
      0,
      0x46,
    ),
    'a total length one too large': changed(tcp, 3, tcp.length + 1),
    'a total length one too small': changed(tcp, 3, tcp.length - 1),
    'bytes after the packet': joined(tcp, payload),
    'a TCP header of 16 bytes': changed(tcp, 20 + 12, 0x40),
    'a TCP header longer than the packet': changed(tcp, 20 + 12, 0x60),
    'a UDP length below its header': changed(udp, 20 + 5, 7),
    'a UDP length beyond the packet': changed(udp, 20 + 5, 12),
    'nineteen bytes': tcp.slice(0, 19),
  }
  for (const [name, bytes] of Object.entries(cases)) {
    assert.equal(classified(bytes).kind, kinds.KIND_MALFORMED, name)
  }
  assert.equal(classified(tcp, tcp.length + 1).kind, kinds.KIND_MALFORMED, 'beyond the memory')
})

test('a transport header that is cut short is malformed', () => {
  for (const [protocol, shortest] of [
    [6, 20],
    [17, 8],
  ] as const) {
    const bytes = naivePacket({ ...PLAIN, protocol: 1, payload: new Uint8Array(shortest - 1) })
    bytes[9] = protocol
    assert.equal(classified(bytes).kind, kinds.KIND_MALFORMED)
  }
})

test('packets of one flow hash alike, other flows mostly differ, fragments ignore ports', () => {
  const hashOf = (change: object): number => {
    const bytes = naivePacket({ ...PLAIN, ...change })
    return flowHash(bytes, classified(bytes))
  }
  assert.equal(hashOf({ sequence: 5, payload }), hashOf({ sequence: 9, flags: 2 }))
  const lanes = new Set(Array.from({ length: 64 }, (_, port) => hashOf({ sourcePort: port }) % 8))
  assert.equal(lanes.size, 8)
  const fragment = { protocol: UDP, fragment: 0x2000 }
  assert.equal(hashOf({ ...fragment, sourcePort: 1 }), hashOf({ ...fragment, sourcePort: 2 }))
  assert.equal(hashOf({ protocol: 1, fragment: 0x2000 }), hashOf({ protocol: 1, fragment: 0 }))
})

/** Extension headers by their numbers, eight bytes long unless told. */
const extension = (type: number, ...rest: readonly number[]): NaiveExtension => ({
  type,
  rest: joined(Uint8Array.from(rest), new Uint8Array(7 - (rest.length % 8))),
})
const HOP_BY_HOP = extension(0, 0, 1, 4)
const ROUTING_DONE = extension(43, 0, 4, 0)
const DESTINATION_OPTIONS = extension(60, 0, 1, 4)
const ATOMIC = extension(44, 0, 0, 0, 1, 2, 3, 4)

test('an IPv6 packet is taken apart behind any extension headers', () => {
  const chains: readonly (readonly NaiveExtension[])[] = [
    [],
    [HOP_BY_HOP],
    [HOP_BY_HOP, DESTINATION_OPTIONS, ROUTING_DONE, DESTINATION_OPTIONS],
    [ATOMIC],
    [extension(60, 255, ...new Uint8Array(2046)), DESTINATION_OPTIONS],
  ]
  for (const extensions of chains) {
    const length = extensions.reduce((sum, { rest }) => sum + 1 + rest.length, 40)
    const change = { extensions, tcpOptions: new Uint8Array(12), payload }
    const tcp = classified(naivePacket({ ...PLAIN6, ...change }))
    assert.equal(tcp.kind, kinds.KIND_TCP)
    assert.equal(tcp.version, 6)
    assert.equal(tcp.headerLength, length)
    assert.equal(tcp.transportAt, length)
    assert.equal(tcp.transportHeaderLength, 32)
    assert.equal(tcp.payloadAt, length + 32)
    assert.equal(tcp.payloadLength, 3)
    assert.deepEqual([tcp.sourceAt, tcp.destinationAt, tcp.source], [8, 24, 0])
    const udp = classified(naivePacket({ ...PLAIN6, ...change, protocol: UDP }))
    assert.deepEqual([udp.kind, udp.payloadLength], [kinds.KIND_UDP, 3])
  }
})

test('an IPv4 packet tells where its addresses stand', () => {
  const packet = classified(naivePacket(PLAIN))
  assert.deepEqual([packet.version, packet.sourceAt, packet.destinationAt], [4, 12, 16])
})

test('kinds of IPv6 are told apart', () => {
  const kindOf = (change: Partial<NaivePacket>): number =>
    classified(naivePacket({ ...PLAIN6, payload: new Uint8Array(24), ...change })).kind
  assert.equal(kindOf({ protocol: 58 }), kinds.KIND_OTHER, 'ICMPv6')
  assert.equal(kindOf({ protocol: 59, payload: new Uint8Array(0) }), kinds.KIND_OTHER, 'no more')
  assert.equal(kindOf({ protocol: 51 }), kinds.KIND_OTHER, 'authentication')
  assert.equal(kindOf({ extensions: [extension(44, 0, 0, 1)] }), kinds.KIND_FRAGMENT, 'more')
  assert.equal(kindOf({ extensions: [extension(44, 0, 0, 8)] }), kinds.KIND_FRAGMENT, 'offset')
  assert.equal(kindOf({ extensions: [extension(44, 0, 0, 6)] }), kinds.KIND_TCP, 'reserved bits')
  const underway = extension(43, 0, 4, 1)
  assert.equal(kindOf({ extensions: [underway] }), kinds.KIND_OTHER, 'more to visit')
  const late = [DESTINATION_OPTIONS, HOP_BY_HOP]
  assert.equal(kindOf({ extensions: late }), kinds.KIND_OTHER, 'hop-by-hop that is not first')
})

test('a fragment of IPv6 begins behind its fragment header', () => {
  const bytes = naivePacket({
    ...PLAIN6,
    protocol: UDP,
    extensions: [HOP_BY_HOP, extension(44, 0, 0, 9)],
    payload,
  })
  const packet = classified(bytes)
  assert.equal(packet.kind, kinds.KIND_FRAGMENT)
  assert.equal(packet.protocol, UDP)
  assert.equal(packet.headerLength, 56)
  assert.equal(packet.payloadAt, 56)
  assert.equal(packet.payloadLength, bytes.length - 56)
  assert.equal(packet.transportHeaderLength, 0)
})

test('an IPv6 header, length or chain that does not fit what is there is malformed', () => {
  const tcp = naivePacket({ ...PLAIN6, payload })
  const udp = naivePacket({ ...PLAIN6, protocol: UDP, payload })
  const chained = naivePacket({ ...PLAIN6, extensions: [DESTINATION_OPTIONS], payload })
  const bare = (type: number, length: number): Uint8Array =>
    naivePacket({ ...PLAIN6, protocol: 59, payload: new Uint8Array(length) }).with(6, type)
  const chainOf = (length: number): Uint8Array =>
    naivePacket({
      ...PLAIN6,
      extensions: Array.from({ length }, () => DESTINATION_OPTIONS),
      payload,
    })
  const cases = {
    'one byte': Uint8Array.of(0x60),
    'thirty-nine bytes': tcp.slice(0, 39),
    'a payload length one too large': tcp.with(5, tcp.length - 40 + 1),
    'a payload length one too small': tcp.with(5, tcp.length - 40 - 1),
    'a payload length of zero, as of a jumbogram': tcp.with(4, 0).with(5, 0),
    'bytes after the packet': joined(tcp, payload),
    'a TCP header that is cut short': bare(6, 19),
    'a UDP header that is cut short': bare(17, 7),
    'no room for the extension that is announced': bare(60, 0),
    'four bytes of an extension': bare(43, 4),
    'seven bytes of a fragment header': bare(44, 7),
    'an extension longer than the packet': chained.with(41, 200),
    'an extension that leaves no room for TCP': chained.with(41, 2),
    'a TCP header of 16 bytes': tcp.with(40 + 12, 0x40),
    'a TCP header longer than the packet': tcp.with(40 + 12, 0x60),
    'a UDP length of zero': udp.with(40 + 5, 0),
    'a UDP length beyond the packet': udp.with(40 + 5, 12),
    'nine extension headers': chainOf(9),
  }
  for (const [name, bytes] of Object.entries(cases)) {
    assert.equal(classified(bytes).kind, kinds.KIND_MALFORMED, name)
  }
  assert.equal(classified(chainOf(8)).kind, kinds.KIND_TCP)
  assert.equal(classified(bare(44, 8)).kind, kinds.KIND_OTHER, 'a fragment header of nothing')
})

test('flows of IPv6 are spread by addresses and ports, their fragments by addresses', () => {
  const hashOf = (change: Partial<NaivePacket>): number => {
    const bytes = naivePacket({ ...PLAIN6, ...change })
    return flowHash(bytes, classified(bytes))
  }
  const base = hashOf({})
  assert.equal(hashOf({ sequence: 9, flags: 2, flowLabel: 3, tos: 8, ttl: 9 }), base)
  assert.equal(hashOf({ extensions: [DESTINATION_OPTIONS] }), base)
  const spread = (change: (index: number) => Partial<NaivePacket>): number =>
    new Set(Array.from({ length: 64 }, (_, index) => hashOf(change(index)) % 8)).size
  assert.equal(
    spread((index) => ({ sourcePort: index })),
    8,
  )
  for (const bit of [0n, 32n, 64n, 96n]) {
    const added = (index: number): bigint => BigInt(index) << bit
    assert.equal(
      spread((index) => ({ source: PLAIN6.source + added(index) })),
      8,
    )
    assert.equal(
      spread((index) => ({ destination: PLAIN6.destination + added(index) })),
      8,
    )
  }
  const first = { protocol: UDP, extensions: [extension(44, 0, 0, 1)] }
  const later = { protocol: 60, sourcePort: 1, extensions: [extension(44, 0, 0, 9)] }
  assert.equal(hashOf(first), hashOf({ ...first, sourcePort: 1 }))
  assert.equal(hashOf(first), hashOf(later))
})
