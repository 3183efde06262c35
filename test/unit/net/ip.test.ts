import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { familyOf, parseIp } from '../../../src/net/ip.ts'
import { formatIp } from '../../../src/net/ipv6.ts'

test('an address of either family is read, and told by its family', () => {
  assert.equal(familyOf(parseIp('172.18.10.96')), 'ipv4')
  assert.equal(familyOf(parseIp('fd00:18::96')), 'ipv6')
  assert.equal(familyOf(parseIp('::ffff:172.18.10.96')), 'ipv6')
})

test('every address is read back as it was written', () => {
  const any = fc.oneof(fc.nat(0xffff_ffff), fc.bigInt({ min: 0n, max: 2n ** 128n - 1n }))
  fc.assert(fc.property(any, (ip) => assert.equal(parseIp(formatIp(ip)), ip)))
})

test('what is neither is refused in the words of what it looks like', () => {
  const cases: [string, RegExp][] = [
    ['', /^"" is not an IP address such as 172\.18\.10\.96 or fd00:18::96$/],
    ['host-96', /is not an IP address/],
    ['172.18.10', /is not an IP address/],
    ['fd00::1::', /is not an IPv6 address/],
    ['fe80::1%eth0', /is not an IPv6 address/],
  ]
  for (const [text, message] of cases) {
    assert.throws(() => parseIp(text), { code: 'bad_input', message })
  }
})
