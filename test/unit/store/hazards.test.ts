import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseCidr } from '../../../src/net/cidr.ts'
import { parseIpv4 } from '../../../src/net/ipv4.ts'
import { withoutHazards } from '../../../src/store/hazards.ts'
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
