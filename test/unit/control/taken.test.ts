import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  holderOf,
  hostName,
  ownerOfPool,
  poolOver,
  takenPrefixes,
  vtepInside,
} from '../../../src/control/taken.ts'
import { parseCidr } from '../../../src/net/cidr.ts'
import {
  clusterOf,
  holder,
  host,
  lease,
  OTHER,
  overlay,
  pooledLease,
  texts,
  THIRD,
} from './control-support.ts'

const view = clusterOf({
  'overlays/app': overlay(4100, '10.40.0.0/16'),
  'subnets/10.47.128.0-24': lease(),
  'subnets/10.60.1.0-24': pooledLease('10.60.0.0/16', { overlay: null, vni: 0 }),
  'holders/10.47.129.0-24': holder(THIRD),
  [`hosts/${OTHER}`]: host('berta', '172.18.10.98'),
  [`hosts/${THIRD}`]: host(THIRD, 'fd00:18::99'),
})
const at = parseCidr

test('leases, kept subnets and pools, named or not, are taken', () => {
  assert.deepEqual(texts(takenPrefixes(view)).toSorted(), [
    '10.40.0.0/16',
    '10.47.128.0/24',
    '10.47.129.0/24',
    '10.60.0.0/16',
    '10.60.1.0/24',
  ])
})

test('the holder of a prefix is named by its hostname where it is known', () => {
  assert.equal(holderOf(view, at('10.47.128.128/25')), 'host berta (10.47.128.0/24)')
  assert.equal(
    holderOf(view, at('10.47.129.0/24')),
    `host ${THIRD} (10.47.129.0/24, switched off for now)`,
  )
  assert.equal(holderOf(view, at('10.47.130.0/24')), null)
  assert.equal(hostName(view, ''), 'unknown')
})

test('the overlay over a prefix is named, also before it has a name', () => {
  assert.equal(poolOver(view, at('10.40.9.0/24')), 'overlay app (10.40.0.0/16)')
  assert.equal(poolOver(view, at('10.60.9.0/24')), 'a new overlay (10.60.0.0/16)')
  assert.equal(poolOver(view, at('10.61.9.0/24')), null)
})

test('a tunnel end inside a prefix names its host, alive or not', () => {
  assert.match(vtepInside(view, at('172.18.0.0/16'))!, /^host berta itself .*172\.18\.10\.98/)
  const dead = clusterOf({ 'subnets/10.47.128.0-24': lease() })
  assert.match(vtepInside(dead, at('172.18.10.98/32'))!, /itself/)
  assert.equal(vtepInside(view, at('172.18.11.0/24')), null)
})

test('the owner of a pool is an overlay, a subnet, or the block of unnamed subnets; a pool does not own itself', () => {
  const kept = at('10.47.128.0/17')
  assert.equal(ownerOfPool(view, at('10.40.0.0/17'), kept), 'overlay app (10.40.0.0/16)')
  assert.match(ownerOfPool(view, at('10.60.0.0/15'), kept)!, /^the subnet 10\.60\.1\.0\/24/)
  assert.equal(ownerOfPool(view, at('10.60.0.0/16'), kept), null)
  assert.match(ownerOfPool(clusterOf(), at('10.47.0.0/16'), kept)!, /^10\.47\.128\.0\/17, kept/)
})
