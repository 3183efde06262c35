import assert from 'node:assert/strict'
import { test } from 'node:test'
import { GRACE_MS, WipeGuard } from '../../../src/control/wipe-guard.ts'
import type { ClusterView } from '../../../src/store/cluster-view.ts'
import { viewOf } from '../store/view-support.ts'
import {
  bridges,
  CONFIG,
  clusterOf,
  half,
  holder,
  lease,
  ME,
  OTHER,
  overlay,
  THIRD,
} from './control-support.ts'

const full = {
  'overlays/web': overlay(4096),
  'overlays/app': overlay(4097),
  'subnets/10.47.128.0-24': lease({ hostId: ME }),
  'subnets/10.47.129.0-24': lease(),
  'subnets/10.47.130.0-24': lease({ hostId: THIRD }),
  'holders/10.47.129.0-24': holder(OTHER),
  'holders/10.47.128.0-24': holder(ME),
  [`private/${OTHER}`]: bridges('172.17.0.0/16'),
}

function guardOf(): { guard: WipeGuard; wipes: () => number } {
  let wipes = 0
  return { guard: new WipeGuard(ME, () => wipes++), wipes: () => wipes }
}

const at = (view: ClusterView, revision: string): ClusterView => ({ ...view, revision })
const subnetsOf = (view: ClusterView): string[] => [...view.subnets.keys()].toSorted()

test('a store without a wipe is taken at its word', () => {
  const { guard, wipes } = guardOf()
  const before = at(clusterOf(full), '50')
  const after = at(clusterOf({ 'overlays/web': overlay(4096) }), '51')
  assert.equal(guard.follow(before, 0), before)
  assert.equal(guard.follow(after, 1), after)
  assert.equal(guard.complete(after, 1), after)
  assert.equal(wipes(), 0)
})

test('after a wipe the other hosts stand for a minute, and not longer', () => {
  const { guard, wipes } = guardOf()
  guard.follow(at(clusterOf(full), '50'), 0)
  const empty = at(viewOf({}), '60')
  const complete = guard.follow(empty, 100)
  assert.equal(wipes(), 1)
  assert.deepEqual(
    subnetsOf(complete),
    ['10.47.129.0/24', '10.47.130.0/24'],
    'not our own: the journal has it',
  )
  assert.deepEqual([...complete.overlays.keys()], ['web', 'app'])
  assert.deepEqual([...complete.holders.keys()], ['10.47.129.0/24'])
  assert.deepEqual([...complete.privatePrefixes.keys()], [OTHER])
  assert.notEqual(complete.config, null)
  assert.equal(guard.follow(empty, 100 + GRACE_MS - 1), complete)
  assert.equal(guard.follow(empty, 100 + GRACE_MS), empty)
  assert.equal(wipes(), 1)
})

test('what the store says after the wipe goes before what it said', () => {
  const { guard } = guardOf()
  guard.follow(at(clusterOf(full), '50'), 0)
  guard.follow(at(viewOf({}), '60'), 0)
  const after = viewOf({
    config: CONFIG,
    'overlays/new': overlay(4097),
    'subnets/10.47.129.0-24': lease({ overlay: 'new', vni: 4097 }),
    'subnets/10.47.130.0-25': lease({ overlay: 'new', vni: 4097 }),
  })
  const complete = guard.follow(at(after, '61'), 1)
  assert.deepEqual(subnetsOf(complete), ['10.47.129.0/24', '10.47.130.0/25'])
  assert.equal(complete.subnets.get('10.47.129.0/24')?.overlay, 'new')
  assert.deepEqual(
    [...complete.overlays.keys()].toSorted(),
    ['new', 'web'],
    'app has lost its identifier',
  )
})

test('a store that was set back to an older revision counts as wiped', () => {
  const { guard, wipes } = guardOf()
  guard.follow(at(clusterOf(full), '50'), 0)
  const older = at(clusterOf({ 'subnets/10.47.129.0-24': lease() }), '20')
  assert.deepEqual(subnetsOf(guard.follow(older, 0)), ['10.47.129.0/24', '10.47.130.0/24'])
  assert.equal(wipes(), 1)
})

test('a decision on a wiped store sees what was there, before the mirror has noticed', () => {
  const { guard, wipes } = guardOf()
  guard.follow(at(clusterOf(full), '50'), 0)
  assert.deepEqual(subnetsOf(guard.complete(at(viewOf({}), '60'), 0)), [
    '10.47.129.0/24',
    '10.47.130.0/24',
  ])
  assert.equal(wipes(), 0)
  guard.follow(at(viewOf({}), '60'), 0)
  assert.equal(subnetsOf(guard.complete(at(viewOf({}), '61'), 1)).length, 2)
  assert.equal(subnetsOf(guard.complete(at(viewOf({}), '61'), GRACE_MS)).length, 0)
})

test('what stands after a wipe stands without the IPv6 half that another has by now', () => {
  const { guard } = guardOf()
  const before = clusterOf({
    'subnets/10.47.129.0-24&fd00:29::-64': lease({ ipv6: half('fd00:29::/64') }),
    'subnets/10.47.130.0-24&fd00:30::-64': lease({ hostId: THIRD, ipv6: half('fd00:30::/64') }),
  })
  guard.follow(at(before, '50'), 0)
  const after = viewOf({
    'subnets/10.47.131.0-24&fd00:29::-64': lease({ hostId: THIRD, ipv6: half('fd00:29::/64') }),
  })
  const { subnets } = guard.follow(at(after, '60'), 100)
  assert.deepEqual(
    [...subnets].map(([subnet, { ipv6 }]) => [subnet, ipv6 !== null]),
    [
      ['10.47.131.0/24', true],
      ['10.47.129.0/24', false],
      ['10.47.130.0/24', true],
    ],
  )
})
