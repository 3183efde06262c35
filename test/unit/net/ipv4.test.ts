import assert from 'node:assert/strict'
import { test } from 'node:test'
import { formatIpv4, parseIpv4 } from '../../../src/net/ipv4.ts'

const VECTORS: [string, number][] = [
  ['0.0.0.0', 0],
  ['10.32.5.2', 0x0a20_0502],
  ['127.0.0.1', 0x7f00_0001],
  ['128.0.0.0', 0x8000_0000],
  ['255.255.255.255', 0xffff_ffff],
]

test('addresses are unsigned numbers in network order, and back', () => {
  for (const [text, ip] of VECTORS) {
    assert.equal(parseIpv4(text), ip)
    assert.equal(formatIpv4(ip), text)
  }
})

const HOSTILE = [
  '',
  '1',
  '10.0.0',
  '10.0.0.0.1',
  '010.0.0.1',
  '10.0.0.01',
  '10.0.0.256',
  '10.0.0.-1',
  '10.0.0.1e1',
  '0x0a.0.0.1',
  '10.0.0.1 ',
  ' 10.0.0.1',
  '10.0.0.1\n',
  '10.0.0.1/24',
  '10.0.0.1%eth0',
  '١0.0.0.1',
  '10。0。0。1',
  '::ffff:10.0.0.1',
  'localhost',
]

for (const text of HOSTILE) {
  test(`${JSON.stringify(text)} is not an address, and the refusal quotes it`, () => {
    assert.throws(() => parseIpv4(text), {
      code: 'bad_input',
      message: `"${text}" is not an IPv4 address such as 10.32.5.2`,
    })
  })
}
