import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  compareCidr,
  containsCidr,
  containsIp,
  formatCidr,
  formatInterfaceAddress,
  lastOf,
  maskOf,
  overlaps,
  parseCidr,
  parseInterfaceAddress,
  prefixOf,
  sameCidr,
  sizeOf,
} from '../../../src/net/cidr.ts'
import { formatIpv4, parseIpv4 } from '../../../src/net/ipv4.ts'

test('a prefix knows its mask, its size and its last address', () => {
  const vectors: [string, number, number, string][] = [
    ['0.0.0.0/0', 0, 2 ** 32, '255.255.255.255'],
    ['128.0.0.0/1', 0x8000_0000, 2 ** 31, '255.255.255.255'],
    ['10.32.0.0/12', 0xfff0_0000, 2 ** 20, '10.47.255.255'],
    ['10.32.5.0/24', 0xffff_ff00, 256, '10.32.5.255'],
    ['10.32.5.8/30', 0xffff_fffc, 4, '10.32.5.11'],
    ['255.255.255.255/32', 0xffff_ffff, 1, '255.255.255.255'],
  ]
  for (const [text, mask, size, last] of vectors) {
    const cidr = parseCidr(text)
    assert.equal(maskOf(cidr.length), mask, text)
    assert.equal(sizeOf(cidr), size, text)
    assert.equal(formatIpv4(lastOf(cidr)), last, text)
    assert.equal(formatCidr(cidr), text)
  }
})

test('an interface address keeps its host bits', () => {
  const address = parseInterfaceAddress('10.33.5.2/17')
  assert.deepEqual(address, { ip: parseIpv4('10.33.5.2'), length: 17 })
  assert.equal(formatInterfaceAddress(address), '10.33.5.2/17')
})

for (const text of [
  '10.0.0.0/33',
  '10.0.0.0/024',
  '10.0.0.0/',
  '10.0.0.0',
  '10.0.0.0/-1',
  '10.0.0.0/+8',
  '10.0.0.0/8.0',
  '10.0.0.0/2 4',
  '10.0.0.0/24\n',
  '10.0.0.0/24/24',
  '10.0.0.0/255.0.0.0',
  '10.0.0/24',
  '10/8',
  '010.0.0.0/8',
  '/24',
  '',
]) {
  test(`${JSON.stringify(text)} is not a prefix`, () => {
    assert.throws(() => parseCidr(text), { code: 'bad_input' })
  })
}

test('a prefix with host bits is refused with the prefix that was probably meant', () => {
  assert.throws(() => parseCidr('10.32.5.7/24'), {
    code: 'bad_input',
    message: '"10.32.5.7/24" has bits beyond its prefix length; did you mean 10.32.5.0/24',
  })
})

test('prefixes contain and overlap by their addresses, also in the upper half of the space', () => {
  const wide = parseCidr('192.168.0.0/16')
  const narrow = parseCidr('192.168.7.0/24')
  const beside = parseCidr('192.169.0.0/16')
  assert.ok(containsIp(wide, parseIpv4('192.168.255.255')))
  assert.ok(!containsIp(wide, parseIpv4('192.169.0.0')))
  assert.ok(containsCidr(wide, narrow))
  assert.ok(!containsCidr(narrow, wide))
  assert.ok(containsCidr(wide, wide))
  assert.ok(overlaps(wide, narrow) && overlaps(narrow, wide))
  assert.ok(!overlaps(wide, beside))
  assert.ok(containsCidr(parseCidr('0.0.0.0/0'), wide))
  assert.deepEqual(prefixOf(parseIpv4('192.168.7.9'), 24), narrow)
  assert.ok(sameCidr(narrow, { ...narrow }) && !sameCidr(narrow, wide))
})

test('prefixes sort by address, the wider first', () => {
  const sorted = ['10.0.0.0/8', '10.0.0.0/24', '10.0.1.0/24', '200.0.0.0/8']
  assert.deepEqual(sorted.toReversed().map(parseCidr).sort(compareCidr).map(formatCidr), sorted)
})
