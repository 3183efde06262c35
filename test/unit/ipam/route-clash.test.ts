import assert from 'node:assert/strict'
import { test } from 'node:test'
import { routeClash } from '../../../src/ipam/route-clash.ts'
import { parseCidr } from '../../../src/net/cidr.ts'
import { parseIpv4 } from '../../../src/net/ipv4.ts'

const host = {
  routes: [
    { to: parseCidr('0.0.0.0/0'), dev: 'ppp0' },
    { to: parseCidr('172.18.0.0/16'), dev: 'eth0' },
    { to: parseCidr('10.32.5.0/24'), dev: 'ov-b0123456789' },
  ],
  nameservers: [parseIpv4('10.40.0.53')],
}

test('a prefix inside, around or equal to an on-link route clashes with it by name', () => {
  assert.equal(
    routeClash(parseCidr('172.18.10.0/24'), host),
    '172.18.10.0/24 overlaps the route 172.18.0.0/16 dev eth0 of this host',
  )
  assert.match(routeClash(parseCidr('10.32.0.0/16'), host) ?? '', /10\.32\.5\.0\/24 dev ov-b/)
  assert.match(routeClash(parseCidr('10.32.5.0/24'), host) ?? '', /10\.32\.5\.0\/24 dev ov-b/)
})

test('a prefix that holds a nameserver clashes with it by address', () => {
  assert.equal(
    routeClash(parseCidr('10.40.0.0/24'), host),
    "10.40.0.0/24 holds the nameserver 10.40.0.53 of this host's resolv.conf",
  )
})

test('any other prefix passes, though a default route covers it', () => {
  assert.equal(routeClash(parseCidr('10.32.6.0/24'), host), null)
  assert.equal(routeClash(parseCidr('10.40.1.0/24'), host), null)
})
