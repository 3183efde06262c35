import assert from 'node:assert/strict'
import { test } from 'node:test'
import { steeringPrefixes } from '../../../src/control/steering.ts'
import { formatCidr, parseCidr } from '../../../src/net/cidr.ts'
import { encodeHolder, encodeOverlay, encodeSubnet } from '../../../src/store/records.ts'
import { leaseValue, viewOf } from '../store/view-support.ts'

const ME = 'a'.repeat(32)
const OTHER = 'b'.repeat(32)
const POOL = parseCidr('10.90.0.0/16')

/** What this host keeps its Docker from, where another host holds the subnet. */
function steered(values: Readonly<Record<string, string>>): string[] {
  const view = viewOf({ 'holders/10.90.203.0-24': encodeHolder(OTHER), ...values })
  return steeringPrefixes(view, ME, { addresses: [], onLink: [] }).map(formatCidr)
}

test("a part of a named overlay's pool is not steered around: it would cut the pool's route", () => {
  const shop = encodeOverlay({ vni: 4096, pool: POOL, subnetLength: 24, pool6: null })
  assert.deepEqual(steered({ 'overlays/shop': shop }), [])
})

test('nor is a part of a pool whose overlay has no name yet', () => {
  const value = leaseValue({ hostId: OTHER, kind: 'pooled', pool: POOL, overlay: null, vni: 0 })
  assert.deepEqual(steered({ 'subnets/10.90.203.0-24': encodeSubnet(value) }), [])
})

test('a subnet outside every pool that waits for its holder is steered around', () => {
  assert.deepEqual(steered({}), ['10.90.203.0/24'])
})
