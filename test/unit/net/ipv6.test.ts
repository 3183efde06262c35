import assert from 'node:assert/strict'
import { test } from 'node:test'
import { formatSubnet, isCidr6, parseCidr6 } from '../../../src/net/cidr6.ts'
import { parseCidr } from '../../../src/net/cidr.ts'
import { formatIp, formatIpv6, ipv6Bytes, parseIpv6 } from '../../../src/net/ipv6.ts'

const FORMS: readonly [text: string, value: bigint, canonical: string][] = [
  ['::', 0n, '::'],
  ['::1', 1n, '::1'],
  ['1::', 1n << 112n, '1::'],
  ['FD00:0032:0005::0002', (0xfd00_0032_0005n << 80n) + 2n, 'fd00:32:5::2'],
  // RFC 5952 section 2: one address, written in many ways.
  ['2001:db8:0:0:1:0:0:1', (0x2001_0db8n << 96n) + (1n << 48n) + 1n, '2001:db8::1:0:0:1'],
  ['2001:db8::1:0:0:1', (0x2001_0db8n << 96n) + (1n << 48n) + 1n, '2001:db8::1:0:0:1'],
  // A single zero group is not shortened, and the longer run is.
  ['2001:db8::1:1:1:1:1', 0x2001_0db8_0000_0001_0001_0001_0001_0001n, '2001:db8:0:1:1:1:1:1'],
  ['2001:0:0:1:0:0:0:1', (0x2001n << 112n) + (1n << 64n) + 1n, '2001:0:0:1::1'],
  ['1:2:3:4:5:6:7::', 0x0001_0002_0003_0004_0005_0006_0007_0000n, '1:2:3:4:5:6:7:0'],
  ['::2:3:4:5:6:7:8', 0x0000_0002_0003_0004_0005_0006_0007_0008n, '0:2:3:4:5:6:7:8'],
  ['::ffff:10.32.5.2', 0xffff_0a20_0502n, '::ffff:10.32.5.2'],
  ['::FFFF:0A20:0502', 0xffff_0a20_0502n, '::ffff:10.32.5.2'],
  ['64:ff9b::1.2.3.4', (0x64_ff9bn << 96n) + 0x0102_0304n, '64:ff9b::102:304'],
]

for (const [text, value, canonical] of FORMS) {
  test(`${text} is read, and written ${canonical}`, () => {
    assert.equal(parseIpv6(text), value)
    assert.equal(formatIpv6(value), canonical)
  })
}

for (const text of [
  '',
  ':',
  ':::',
  '1',
  '1:2:3:4:5:6:7',
  '1:2:3:4:5:6:7:8:9',
  '1::2::3',
  '12345::',
  'g::',
  '::1.2.3',
  '::1.2.3.256',
  '1.2.3.4',
  'fe80::1%eth0',
  ' ::1',
  '::1/64',
]) {
  test(`"${text}" is no IPv6 address`, () => {
    assert.throws(() => parseIpv6(text), { code: 'bad_input' })
  })
}

for (const text of [
  'fd00::',
  'fd00::/',
  'fd00::/129',
  'fd00::/064',
  'fd00::/-1',
  '10.0.0.0/8',
  '::/0/0',
]) {
  test(`"${text}" is no IPv6 prefix`, () => {
    assert.throws(() => parseCidr6(text), { code: 'bad_input' })
  })
}

test('a prefix with bits beyond its length names the one that was meant', () => {
  assert.throws(() => parseCidr6('fd00:32:5::1/64'), /did you mean fd00:32:5::\/64$/)
})

test('either family is told from the other and written as its own', () => {
  assert.ok(isCidr6(parseCidr6('::/0')))
  assert.ok(!isCidr6(parseCidr('0.0.0.0/0')))
  assert.equal(formatSubnet(parseCidr6('FD00::/8')), 'fd00::/8')
  assert.equal(formatSubnet(parseCidr('10.0.0.0/8')), '10.0.0.0/8')
  assert.equal(formatIp(0x0a00_0001), '10.0.0.1')
  assert.equal(formatIp(0x0a00_0001n), '::a00:1')
})

test('the bytes on the wire are in network order', () => {
  assert.deepEqual([...ipv6Bytes(parseIpv6('102:304::f'))], [1, 2, 3, 4, ...Array(11).fill(0), 15])
})
