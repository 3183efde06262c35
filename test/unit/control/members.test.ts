import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  isSibling,
  remoteLeases,
  remotePrefixes,
  staticRoutes,
} from '../../../src/control/members.ts'
import { clusterOf, held, lease, ME, member, overlay, texts } from './control-support.ts'

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
