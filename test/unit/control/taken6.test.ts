import assert from 'node:assert/strict'
import { test } from 'node:test'
import { awaitedSubnets6, takenSubnets6 } from '../../../src/control/taken6.ts'
import { parseCidr } from '../../../src/net/cidr.ts'
import { formatCidr6, parseCidr6 } from '../../../src/net/cidr6.ts'
import { clusterOf, half, holder, lease, OTHER, pooledLease } from './control-support.ts'

const POOL = '10.33.0.0/17'
const view = clusterOf({
  'subnets/10.33.5.0-24&fd00:40:0:5::-64': pooledLease(POOL, {
    ipv6: half('fd00:40:0:5::/64', 'fd00:40::/48'),
  }),
  'subnets/10.33.6.0-24': pooledLease(POOL),
  'subnets/172.21.0.0-16&fd00:95::-64': lease({ kind: 'docker', ipv6: half('fd00:95::/64') }),
  'holders/10.33.5.0-24': holder(OTHER),
  'holders/10.33.7.0-24': holder(OTHER),
  'holders/10.33.9.0-26': holder(OTHER),
  'holders/10.99.1.0-24': holder(OTHER),
})

test('every IPv6 subnet of a lease is taken but the one whose half is chosen', () => {
  assert.deepEqual(takenSubnets6(view, '10.33.5.0/24').map(formatCidr6), ['fd00:95::/64'])
  assert.equal(takenSubnets6(view, '10.33.8.0/24').length, 2)
})

test('a subnet that is kept for a host that is away keeps the IPv6 subnet of its number', () => {
  const kept = (pool6: string, length: number): string[] =>
    awaitedSubnets6(view, parseCidr(POOL), parseCidr6(pool6), length).map(formatCidr6)
  assert.deepEqual(kept('fd00:40::/48', 64), ['fd00:40:0:7::/64', 'fd00:40:0:24::/64'])
  assert.deepEqual(kept('fd00:40::/121', 124), ['fd00:40::70/124'], 'a small pool has no more')
})
