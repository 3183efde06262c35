import assert from 'node:assert/strict'
import { test } from 'node:test'
import { decideRemovals } from '../../../src/control/decide-removals.ts'
import { encodeEndpoint } from '../../../src/store/records.ts'
import { keyspace } from '../store/view-support.ts'
import {
  clusterOf,
  held,
  holder,
  lease,
  ME,
  OTHER,
  overlay,
  pooledLease,
  writesOf,
} from './control-support.ts'

const MINE = { hostId: ME, held: [], spared: new Set<string>() }
const endpoint = encodeEndpoint({
  endpointId: 'e',
  mac: '02:42:0a:21:05:02',
  name: null,
  ipv6: null,
})

test('a lease that is not held goes with its endpoints, its holder and its empty overlay, itself last', () => {
  const view = clusterOf({
    'subnets/10.47.128.0-24': lease({ hostId: ME }),
    'holders/10.47.128.0-24': holder(ME),
    'overlays/web': overlay(4096),
    'endpoints/10.47.128.0-24/10.47.128.2': endpoint,
    'endpoints/10.47.129.0-24/10.47.129.2': endpoint,
  })
  const decision = decideRemovals(view, MINE, keyspace, 100)
  assert.deepEqual(writesOf(decision), [
    'delete endpoints/10.47.128.0-24/10.47.128.2',
    'delete overlays/web',
    'delete holders/10.47.128.0-24',
    'delete subnets/10.47.128.0-24',
  ])
  assert.equal(decision.result, false)
})

test('what is held, what is being granted and what is of others stays', () => {
  const view = clusterOf({
    'subnets/10.47.128.0-24': lease({ hostId: ME }),
    'subnets/10.47.129.0-24': lease({ hostId: ME }),
    'subnets/10.47.130.0-24': lease(),
    'holders/10.47.128.0-24': holder(ME),
    'holders/10.47.129.0-24': holder(ME),
    'holders/10.47.131.0-24': holder(OTHER),
    'overlays/web': overlay(4096),
  })
  const mine = { ...MINE, held: [held('10.47.128.0/24')], spared: new Set(['10.47.129.0/24']) }
  assert.deepEqual(writesOf(decideRemovals(view, mine, keyspace, 100)), [])
})

test('an overlay stays while anybody is in it, is about to be, or comes back to its pool', () => {
  const gone = { 'subnets/10.40.1.0-24': pooledLease('10.40.0.0/16', { hostId: ME }) }
  const record = { 'overlays/web': overlay(4096, '10.40.0.0/16') }
  const stays = (values: Record<string, string>, mine = MINE): boolean =>
    !writesOf(
      decideRemovals(clusterOf({ ...gone, ...record, ...values }), mine, keyspace, 100),
    ).includes('delete overlays/web')
  assert.equal(stays({}), false)
  assert.equal(stays({ 'subnets/10.40.2.0-24': pooledLease('10.40.0.0/16') }), true)
  assert.equal(stays({ 'holders/10.40.2.0-24': holder(OTHER) }), true, 'a host that is away')
  assert.equal(stays({ 'holders/10.41.2.0-24': holder(OTHER) }), false, 'a subnet of another pool')
  assert.equal(stays({}, { ...MINE, held: [held('10.40.3.0/24')] as never[] }), true)
  const arriving = { 'subnets/10.40.4.0-24': pooledLease('10.40.0.0/16', { hostId: ME }) }
  assert.equal(stays(arriving, { ...MINE, spared: new Set(['10.40.4.0/24']) }), true)
})

test('a holder record goes also where its lease has expired', () => {
  const view = clusterOf({ 'holders/10.47.128.0-24': holder(ME) })
  assert.deepEqual(writesOf(decideRemovals(view, MINE, keyspace, 100)), [
    'delete holders/10.47.128.0-24',
  ])
})

test('no more operations than allowed are decided at once, and what is left is told', () => {
  const values = Object.fromEntries(
    Array.from({ length: 150 }, (_, n) => [
      `endpoints/10.47.128.0-24/10.47.128.${n + 2}`,
      endpoint,
    ]),
  )
  const view = clusterOf({ 'subnets/10.47.128.0-24': lease({ hostId: ME }), ...values })
  const first = decideRemovals(view, MINE, keyspace, 100)
  assert.equal(first.operations.length, 100)
  assert.equal(first.result, true)
  assert.ok(writesOf(first).every((line) => line.startsWith('delete endpoints/')))
})
