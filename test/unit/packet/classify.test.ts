import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as kinds from '../../../src/packet/classify.ts'
import { flowHash } from '../../../src/packet/flow-hash.ts'
import { joined, naivePacket, PLAIN, UDP } from '../../support/naive-packets.ts'

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
})
