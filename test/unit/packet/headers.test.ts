import assert from 'node:assert/strict'
import { test } from 'node:test'
import { macBytes } from '../../../src/net/mac.ts'
import { parseIpv4 } from '../../../src/net/ipv4.ts'
import { ipv6Bytes, parseIpv6 } from '../../../src/net/ipv6.ts'
import * as ethernet from '../../../src/packet/ethernet.ts'
import * as ipv4 from '../../../src/packet/ipv4.ts'
import * as ipv6 from '../../../src/packet/ipv6.ts'
import { tcpLengthOf } from '../../../src/packet/tcp.ts'
import * as vnet from '../../../src/packet/vnet-header.ts'
import * as vxlan from '../../../src/packet/vxlan.ts'

/** Two bytes that do not belong to the header stand before and after it. */
const bytesOf = (hex: string): Uint8Array =>
  Uint8Array.from(Buffer.from(`aabb${hex.replaceAll(/\s/g, '')}ccdd`, 'hex'))

test('an Ethernet header reads and writes as IEEE 802.3 draws it', () => {
  const vector = bytesOf('02005e100001 02005e100002 0800')
  assert.equal(ethernet.etherType(vector, 2), ethernet.ETHERTYPE_IPV4)
  assert.ok(ethernet.isTo(vector, 2, macBytes('02:00:5e:10:00:01')))
  assert.ok(ethernet.isFrom(vector, 2, macBytes('02:00:5e:10:00:02')))
  assert.ok(!ethernet.isTo(vector, 2, macBytes('02:00:5e:10:00:02')))
  assert.ok(!ethernet.isFrom(vector, 2, macBytes('02:00:5e:10:00:03')))

  const written = bytesOf('00'.repeat(14))
  const table = macBytes('02:00:5e:10:00:02')
  ethernet.writeEthernet(written, 2, macBytes('02:00:5e:10:00:01'), 0, table, 0, 0x0800)
  assert.deepEqual(written, vector)
})

test('a VXLAN header reads and writes as RFC 7348 section 5 draws it', () => {
  const vector = bytesOf('08 000000 123456 00')
  assert.ok(vxlan.hasVni(vector, 2))
  assert.ok(!vxlan.hasReservedBits(vector, 2))
  assert.equal(vxlan.vniOf(vector, 2), 0x123456)
  const written = bytesOf('ff'.repeat(8))
  vxlan.writeVxlan(written, 2, 0x123456)
  assert.deepEqual(written, vector)
})

test('each reserved bit of a VXLAN header is seen, and the I flag is not one of them', () => {
  for (let bit = 0; bit < 64; bit++) {
    const header = bytesOf('08 000000 000000 00')
    header[2 + (bit >> 3)]! ^= 0x80 >> (bit & 7)
    const isVni = bit >= 32 && bit < 56
    const isFlagI = bit === 4
    assert.equal(vxlan.hasReservedBits(header, 2), !isVni && !isFlagI, `bit ${bit}`)
    assert.equal(vxlan.hasVni(header, 2), !isFlagI, `bit ${bit}`)
  }
})

test('an IPv4 header reads as RFC 791 draws it', () => {
  // version, tos | total 60 | id | DF | ttl 64, tcp | checksum | 172.16.10.99 | 172.16.10.12
  const vector = bytesOf('4500 003c 1c46 4000 4006 b1e6 ac100a63 ac100a0c')
  assert.equal(ipv4.versionOf(vector, 2), 4)
  assert.equal(ipv4.headerLengthOf(vector, 2), 20)
  assert.equal(ipv4.totalLengthOf(vector, 2), 60)
  assert.equal(ipv4.sourceOf(vector, 2) >>> 0, parseIpv4('172.16.10.99'))
  assert.equal(ipv4.destinationOf(vector, 2) >>> 0, parseIpv4('172.16.10.12'))
  assert.ok(!ipv4.isFragment(vector, 2))
  assert.ok(ipv4.headerChecksumIsValid(vector, 2, 20))
  vector[2 + ipv4.TTL]!--
  assert.ok(!ipv4.headerChecksumIsValid(vector, 2, 20))
  ipv4.sealHeader(vector, 2, 20)
  assert.ok(ipv4.headerChecksumIsValid(vector, 2, 20))
  assert.equal((vector[12]! << 8) | vector[13]!, 0xb2e6)
})

test('a fragment is known by its offset or by more to come', () => {
  const withField = (field: string): Uint8Array =>
    bytesOf(`4500 003c 1c46 ${field} 4006 0000 ac100a63 ac100a0c`)
  assert.ok(ipv4.isFragment(withField('2000'), 2))
  assert.ok(ipv4.isFragment(withField('0001'), 2))
  assert.ok(ipv4.isFragment(withField('00b9'), 2))
  assert.ok(!ipv4.isFragment(withField('c000'), 2))
})

test('addresses that name no host are told from those that do', () => {
  for (const ip of ['0.0.0.1', '127.0.0.1', '169.254.1.1', '224.0.0.1', '240.0.0.1']) {
    assert.ok(ipv4.isUnroutable(parseIpv4(ip)), ip)
  }
  for (const ip of ['1.0.0.1', '10.0.0.0', '126.0.0.1', '169.253.0.1', '223.255.255.255']) {
    assert.ok(!ipv4.isUnroutable(parseIpv4(ip)), ip)
  }
  assert.ok(ipv4.isMulticastOrBroadcast(parseIpv4('239.1.2.3')))
  assert.ok(ipv4.isMulticastOrBroadcast(parseIpv4('255.255.255.255')))
  assert.ok(!ipv4.isMulticastOrBroadcast(parseIpv4('223.1.2.3')))
})

test('an IPv6 header reads and writes as RFC 8200 draws it', () => {
  // 6, traffic class a7, flow label 12345 | payload 20, tcp, hop limit 64 | fd00::1 | fd00::2
  const vector = bytesOf(`6a71 2345 0014 0640 fd00${'00'.repeat(13)}01 fd00${'00'.repeat(13)}02`)
  assert.equal(ipv4.versionOf(vector, 2), 6)
  assert.equal(ipv6.trafficClassOf(vector, 2), 0xa7)
  assert.equal(ipv6.payloadLengthOf(vector, 2), 20)
  assert.equal(vector[2 + ipv6.NEXT_HEADER], 6)
  assert.equal(vector[2 + ipv6.HOP_LIMIT], 64)
  for (const value of [0, 0xff, 0x5a, 0xa7]) {
    ipv6.storeTrafficClass(vector, 2, value)
    assert.equal(ipv6.trafficClassOf(vector, 2), value)
    assert.equal(vector[2]! >>> 4, 6)
    assert.equal(vector[3]! & 15, 1)
  }
})

test('packets of IPv6 have the same addresses if all of their 32 bytes are', () => {
  const one = Uint8Array.from({ length: 32 }, (_, index) => index * 9)
  const view = (other: Uint8Array): DataView =>
    new DataView(Uint8Array.from([0, ...one, ...other]).buffer)
  assert.ok(ipv6.isSamePair6(view(one), 1, 33))
  for (const at of one.keys()) {
    assert.ok(!ipv6.isSamePair6(view(one.with(at, one[at]! ^ 1)), 1, 33))
  }
})

test('IPv6 addresses that name no host are told from those that do', () => {
  const asked = (rule: (bytes: Uint8Array, at: number) => boolean, ip: string): boolean =>
    rule(Uint8Array.from([0xff, ...ipv6Bytes(parseIpv6(ip)), 0xff]), 1)
  for (const ip of [
    '::',
    '::1',
    '::10.0.0.1',
    '::ffff:10.0.0.1',
    'fe80::1',
    'febf::1',
    'ff02::1',
    'ffff::',
  ]) {
    assert.ok(asked(ipv6.isUnroutable6, ip), ip)
  }
  for (const ip of ['fd00::1', '2001:db8::1', 'fec0::1', 'fe7f::1', '64:ff9b::1', '::1:0:0:1']) {
    assert.ok(!asked(ipv6.isUnroutable6, ip), ip)
  }
  assert.ok(asked(ipv6.isMulticast6, 'ff05::2'))
  assert.ok(!asked(ipv6.isMulticast6, 'fe80::1'))
  assert.ok(asked(ipv6.isLinkLocal6, 'fe80::1'))
  assert.ok(!asked(ipv6.isLinkLocal6, 'fec0::1'))
})

test('the length of a TCP header is in the high half of its thirteenth byte', () => {
  const header = bytesOf('9c40 0050 00000001 00000002 8010 01f4 0000 0000')
  assert.equal(tcpLengthOf(header, 2), 32)
})

test('a virtio header reads and writes as the kernel lays it out', () => {
  // NEEDS_CSUM, TCPv4 | header 52 | gso 1398 | csum start 20 | csum offset 16, little-endian
  const vector = bytesOf('01 01 3400 7605 1400 1000')
  assert.ok(vnet.needsChecksum(vector, 2))
  assert.equal(vnet.gsoTypeOf(vector, 2), vnet.GSO_TCPV4)
  assert.equal(vnet.gsoSizeOf(vector, 2), 1398)
  assert.equal(vnet.checksumStartOf(vector, 2), 20)
  assert.equal(vnet.checksumOffsetOf(vector, 2), 16)
  const written = bytesOf('ff'.repeat(10))
  vnet.writePartialVnet(written, 2, vnet.GSO_TCPV4, 52, 1398, 20, 16)
  assert.deepEqual(written, vector)
  vnet.writePlainVnet(written, 2)
  assert.deepEqual(written, bytesOf('00'.repeat(10)))
  vector[3] = 0x81
  assert.equal(vnet.gsoTypeOf(vector, 2), vnet.GSO_TCPV4)
})
