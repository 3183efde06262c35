import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseCidr } from '../../../src/net/cidr.ts'
import { formatCidr6, parseCidr6 } from '../../../src/net/cidr6.ts'
import { parseIpv4 } from '../../../src/net/ipv4.ts'
import { parseIpv6 } from '../../../src/net/ipv6.ts'
import { addressInside, withoutHazards } from '../../../src/store/hazards.ts'
import { encodeSubnet } from '../../../src/store/records.ts'
import { leaseValue, problemsOf, viewOf } from './view-support.ts'

const docker = encodeSubnet(leaseValue({ kind: 'docker', pool: null, hostId: 'host-b' }))
const own = encodeSubnet(leaseValue({ kind: 'docker', pool: null, hostId: 'host-a' }))

const hazards = {
  addresses: [
    { ip: parseIpv4('172.18.10.95'), what: 'the etcd endpoint' },
    { ip: parseIpv4('8.8.8.8'), what: 'the nameserver' },
  ],
  onLink: [{ prefix: parseCidr('192.168.1.0/24'), dev: 'eth0' }],
}

test('leases that would cut this host off are left out and named', () => {
  const view = viewOf({
    'subnets/172.18.10.0-24': docker,
    'subnets/8.0.0.0-8': docker,
    'subnets/192.168.0.0-16': docker,
    'subnets/10.32.5.0-24': docker,
  })
  const safe = withoutHazards(view, hazards, 'host-a')
  assert.deepEqual([...safe.subnets.keys()], ['10.32.5.0/24'])
  assert.deepEqual(problemsOf(safe), [
    'subnets/172.18.10.0-24: contains the etcd endpoint 172.18.10.95',
    'subnets/8.0.0.0-8: contains the nameserver 8.8.8.8',
    "subnets/192.168.0.0-16: overlaps 192.168.1.0/24 on this host's link eth0",
  ])
})

test("a host's own lease lies on its own link and stays", () => {
  const view = viewOf({ 'subnets/192.168.1.0-24': own })
  assert.equal(withoutHazards(view, hazards, 'host-a'), view)
})

const both = {
  ...hazards,
  addresses: [
    { ip: parseIpv6('2001:db8::53'), what: 'the nameserver' },
    ...hazards.addresses,
    { ip: parseIpv6('fd00:18::95'), what: 'the etcd endpoint' },
  ],
}

test('an IPv6 subnet that would cut this host off is left out, and the IPv4 one stays', () => {
  const view = viewOf({
    'subnets/10.32.5.0-24&fd00:18::-64': docker,
    'subnets/10.32.6.0-24&2001:db8::-32': docker,
    'subnets/10.32.7.0-24&fd00:19::-64': docker,
    'subnets/172.18.10.0-24&fd00:20::-64': docker,
  })
  const safe = withoutHazards(view, both, 'host-a')
  assert.deepEqual(
    [...safe.subnets].map(([text, { ipv6 }]) => [text, ipv6 && formatCidr6(ipv6.subnet)]),
    [
      ['10.32.5.0/24', null],
      ['10.32.6.0/24', null],
      ['10.32.7.0/24', 'fd00:19::/64'],
    ],
  )
  assert.deepEqual(
    safe.problems.map(({ key, part, reason }) => [key.split('/').at(-1), part, reason]),
    [
      ['10.32.5.0-24&fd00:18::-64', 'IPv6', 'contains the etcd endpoint fd00:18::95'],
      ['10.32.6.0-24&2001:db8::-32', 'IPv6', 'contains the nameserver 2001:db8::53'],
      ['172.18.10.0-24&fd00:20::-64', undefined, 'contains the etcd endpoint 172.18.10.95'],
    ],
  )
})

test("a host's own IPv6 subnet stays though its own address is in it", () => {
  const view = viewOf({ 'subnets/10.32.5.0-24&fd00:18::-64': own })
  assert.equal(withoutHazards(view, both, 'host-a'), view)
})

test('what of its needs lies inside a prefix is named in either family', () => {
  assert.equal(addressInside(parseCidr('8.0.0.0/8'), both), 'the nameserver 8.8.8.8')
  assert.equal(addressInside(parseCidr6('fd00:18::/64'), both), 'the etcd endpoint fd00:18::95')
  assert.equal(addressInside(parseCidr6('fd00:17::/64'), both), null)
  assert.equal(addressInside(parseCidr6('::/8'), hazards), null)
})
