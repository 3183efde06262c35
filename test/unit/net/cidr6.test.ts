import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseCidr } from '../../../src/net/cidr.ts'
import {
  containsCidr6,
  formatInterfaceAddress6,
  lastOf6,
  overlaps6,
  parseCidr6,
  parseInterfaceAddress6,
  sameCidr6,
  subnetContains,
} from '../../../src/net/cidr6.ts'
import { parseIpv4 } from '../../../src/net/ipv4.ts'
import { formatIpv6, parseIpv6 } from '../../../src/net/ipv6.ts'

test('an interface address keeps its host bits', () => {
  const address = parseInterfaceAddress6('fd00:32:5::2/64')
  assert.deepEqual(address, { ip: parseIpv6('fd00:32:5::2'), length: 64 })
  assert.equal(formatInterfaceAddress6(address), 'fd00:32:5::2/64')
  assert.throws(() => parseInterfaceAddress6('fd00:32:5::2'), {
    code: 'bad_input',
    message: '"fd00:32:5::2" is not an IPv6 address with a prefix length such as fd00:32:5::2/64',
  })
})

test('a prefix knows its last address', () => {
  for (const [text, last] of [
    ['::/0', 'ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff'],
    ['fd00:32:5::/64', 'fd00:32:5:0:ffff:ffff:ffff:ffff'],
    ['fd00:32:5::10/124', 'fd00:32:5::1f'],
    ['fd00:32:5::7/128', 'fd00:32:5::7'],
  ] as const) {
    assert.equal(formatIpv6(lastOf6(parseCidr6(text))), last, text)
  }
})

test('prefixes contain and overlap by their addresses', () => {
  const wide = parseCidr6('fd00:32::/48')
  const narrow = parseCidr6('fd00:32:0:5::/64')
  const beside = parseCidr6('fd00:33::/48')
  assert.ok(containsCidr6(wide, narrow))
  assert.ok(!containsCidr6(narrow, wide))
  assert.ok(!containsCidr6(parseCidr6('fd00:32::/64'), wide))
  assert.ok(containsCidr6(wide, wide))
  assert.ok(containsCidr6(parseCidr6('::/0'), wide))
  assert.ok(overlaps6(wide, narrow) && overlaps6(narrow, wide))
  assert.ok(!overlaps6(wide, beside))
  assert.ok(sameCidr6(narrow, { ...narrow }) && !sameCidr6(narrow, wide))
  assert.ok(!sameCidr6(wide, { ...wide, length: 49 }))
})

test('a subnet of one family holds no address of the other', () => {
  assert.ok(subnetContains(parseCidr('10.0.0.0/8'), parseIpv4('10.32.5.2')))
  assert.ok(!subnetContains(parseCidr('10.0.0.0/8'), parseIpv4('11.32.5.2')))
  assert.ok(subnetContains(parseCidr6('fd00::/8'), parseIpv6('fd00:32:5::2')))
  assert.ok(!subnetContains(parseCidr6('fd00::/8'), parseIpv6('fe00:32:5::2')))
  assert.ok(!subnetContains(parseCidr('0.0.0.0/0'), parseIpv6('::1')))
  assert.ok(!subnetContains(parseCidr6('::/0'), parseIpv4('0.0.0.1')))
})
