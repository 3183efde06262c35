import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  isSibling,
  remoteLeases,
  remotePrefixes,
  staticRoutes,
} from '../../../src/control/members.ts'
import {
  clusterOf,
  half,
  held,
  heldHalf,
  lease,
  ME,
  member,
  overlay,
  texts,
} from './control-support.ts'

const view = clusterOf({
  'overlays/web': overlay(4096),
  'subnets/172.30.0.0-16': lease({ kind: 'docker' }),
  'subnets/172.21.0.0-16': lease({ kind: 'docker' }),
  'subnets/172.22.0.0-16': lease({ kind: 'docker', overlay: 'app', vni: 4097 }),
  'subnets/172.23.0.0-16': lease({ kind: 'docker', vni: 0 }),
  'subnets/172.20.0.0-16': lease({ kind: 'docker', hostId: ME }),
})
const web = member('web', held('172.20.0.0/16'))
const second = member('second', held('172.24.0.0/16'))
const app = member('app', held('172.25.0.0/16', { overlay: 'app', vni: 4097 }))
const unnamed = member('unnamed', held('172.26.0.0/16', { overlay: null, vni: 0 }))
const alsoUnnamed = member('other', held('172.27.0.0/16', { overlay: null, vni: 0 }))

test('the remote leases of an overlay are in the order of their subnets, without those that have no identifier', () => {
  assert.deepEqual(texts(remoteLeases(view, ME, 'web').map(({ subnet }) => subnet)), [
    '172.21.0.0/16',
    '172.30.0.0/16',
  ])
})

test('a container of a plain network needs a route to every other subnet of its overlay', () => {
  const all = [web, second, app, unnamed]
  assert.deepEqual(staticRoutes(web, all, view, ME), [
    '172.21.0.0/16',
    '172.24.0.0/16',
    '172.30.0.0/16',
  ])
  assert.deepEqual(staticRoutes(app, all, view, ME), ['172.22.0.0/16'])
})

test('a network without an overlay has no routes, no remote part and no sibling', () => {
  assert.deepEqual(staticRoutes(unnamed, [unnamed, alsoUnnamed], view, ME), [])
  assert.deepEqual(remotePrefixes(unnamed, view, ME), [])
  assert.equal(isSibling(unnamed, alsoUnnamed), false)
})

test('a pooled network is reached as a whole, and its containers need no routes', () => {
  const pooled = member('pooled', held('10.33.5.0/24', { kind: 'pooled', pool: '10.33.0.0/17' }))
  assert.deepEqual(texts(remotePrefixes(pooled, view, ME)), ['10.33.0.0/17'])
  assert.deepEqual(staticRoutes(pooled, [pooled, second], view, ME), [])
})

const view6 = clusterOf({
  'overlays/web': overlay(4096),
  'subnets/172.21.0.0-16&fd00:21::-64': lease({ kind: 'docker', ipv6: half('fd00:21::/64') }),
  'subnets/172.22.0.0-16': lease({ kind: 'docker' }),
})
const both = held('172.20.0.0/16', { ipv6: heldHalf('fd00:20::/64') })

test('with IPv6 a container needs routes of both families, to subnets that have it', () => {
  const web6 = member('web6', both)
  const sibling = held('172.24.0.0/16', { ipv6: heldHalf('fd00:24::/64') })
  const all = [web6, member('sibling', sibling), member('plain', held('172.25.0.0/16'))]
  assert.deepEqual(staticRoutes(web6, all, view6, ME), [
    '172.21.0.0/16',
    '172.22.0.0/16',
    '172.24.0.0/16',
    '172.25.0.0/16',
    'fd00:21::/64',
    'fd00:24::/64',
  ])
  const alone = member('alone', both, [], { ipv4: false })
  assert.deepEqual(staticRoutes(alone, [alone], view6, ME), ['fd00:21::/64'])
})

test('a pooled network with IPv6 has one route, to the IPv6 pool', () => {
  const pooled = member(
    'pooled',
    held('10.33.5.0/24', {
      kind: 'pooled',
      pool: '10.33.0.0/17',
      ipv6: heldHalf('fd00:40:0:5::/64', 'fd00:40::/48'),
    }),
  )
  assert.deepEqual(staticRoutes(pooled, [pooled], view6, ME), ['fd00:40::/48'])
})
