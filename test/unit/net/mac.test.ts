import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseIpv4 } from '../../../src/net/ipv4.ts'
import { derivedMac, formatMac, macBytes, macOfIpv4, parseMac } from '../../../src/net/mac.ts'

test('a MAC address is kept in lower case and equals its six bytes', () => {
  assert.equal(parseMac('02:42:0A:20:05:02'), '02:42:0a:20:05:02')
  assert.deepEqual([...macBytes('02:42:0a:20:05:ff')], [2, 0x42, 10, 0x20, 5, 0xff])
  assert.equal(formatMac([2, 0x42, 10, 0x20, 5, 0xff]), '02:42:0a:20:05:ff')
})

for (const text of [
  '',
  '02:42:0a:20:05',
  '02:42:0a:20:05:02:03',
  '02-42-0a-20-05-02',
  '0242.0a20.0502',
  '2:42:a:20:5:2',
  '02:42:0a:20:05:0g',
  '02:42:0a:20:05:02\n',
  ' 02:42:0a:20:05:02',
]) {
  test(`${JSON.stringify(text)} is not a MAC address`, () => {
    assert.throws(() => parseMac(text), { code: 'bad_input' })
  })
}

test('the MAC of a container follows its address, as dockerd does it', () => {
  assert.equal(macOfIpv4(parseIpv4('10.32.5.2')), '02:42:0a:20:05:02')
  assert.equal(macOfIpv4(parseIpv4('192.168.255.1')), '02:42:c0:a8:ff:01')
})

test('a derived MAC is stable, unicast, locally administered, and depends on where words end', () => {
  assert.equal(derivedMac('host', 'network'), derivedMac('host', 'network'))
  assert.notEqual(derivedMac('ab', 'c'), derivedMac('a', 'bc'))
  for (const word of ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h']) {
    assert.equal(macBytes(derivedMac(word))[0]! & 0x03, 0x02)
  }
})
