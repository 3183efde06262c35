import assert from 'node:assert/strict'
import { test } from 'node:test'
import { decideOwnSubnets, OPERATIONS_PER_SUBNET } from '../../../src/control/decide-own-subnets.ts'
import type { HeldSubnet } from '../../../src/control/journal.ts'
import type { ClusterView } from '../../../src/store/cluster-view.ts'
import { keyspace, viewOf } from '../store/view-support.ts'
import {
  BY,
  clusterOf,
  half,
  held,
  heldHalf,
  holder,
  lease,
  ME,
  overlay,
  writesOf,
} from './control-support.ts'

const web = held('10.47.128.0/24')
const app = held('10.47.129.0/24', { overlay: 'app', vni: 4097 })

test('after a wipe a held subnet is written with its overlay and its holder, as it was', () => {
  const decision = decideOwnSubnets(viewOf({}), [web], BY, keyspace)
  assert.deepEqual(writesOf(decision), [
    'put overlays/web {"VNI":4096,"Pool":null,"SubnetLen":null}',
    'put subnets/10.47.128.0-24 {"PublicIP":"172.18.10.96","PublicIPv6":null,"BackendType":"vxlan",' +
      '"BackendData":{"VNI":4096,"VtepMAC":"02:11:22:33:44:55"},' +
      `"HostID":"${ME}","Overlay":"web","Kind":"routed","Pool":null,"MTU":1450,"NetworkID":"${'n'.repeat(64)}"} lease 7`,
    `put holders/10.47.128.0-24 {"HostID":"${ME}"}`,
  ])
  assert.deepEqual(decision.result, [])
  assert.equal(decision.operations.length, OPERATIONS_PER_SUBNET)
})

test('a pooled overlay comes back with its pool', () => {
  const pooled = held('10.40.1.0/26', { kind: 'pooled', pool: '10.40.0.0/16' })
  const [first] = writesOf(decideOwnSubnets(clusterOf(), [pooled], BY, keyspace))
  assert.equal(first, 'put overlays/web {"VNI":4096,"Pool":"10.40.0.0/16","SubnetLen":26}')
})

test('an overlay that came back under another identifier wins over the journal', () => {
  const view = clusterOf({ 'overlays/web': overlay(5000) })
  const decision = decideOwnSubnets(view, [web], BY, keyspace)
  assert.deepEqual(decision.result, [{ subnet: '10.47.128.0/24', vni: 5000 }])
  assert.match(writesOf(decision)[0]!, /"VNI":5000/)
})

test('an overlay whose identifier another has taken comes back under a free one, the same for all its subnets', () => {
  const view = clusterOf({ 'overlays/new': overlay(4096) })
  const second = held('10.47.130.0/24')
  const decision = decideOwnSubnets(view, [web, second, app], BY, keyspace)
  assert.deepEqual(decision.result, [
    { subnet: '10.47.128.0/24', vni: 4097 },
    { subnet: '10.47.130.0/24', vni: 4097 },
    // The journal's 4097 went to web a moment ago.
    { subnet: '10.47.129.0/24', vni: 4098 },
  ])
  const overlays = writesOf(decision).filter((line) => line.startsWith('put overlays/'))
  assert.equal(overlays.length, 2)
})

test('a subnet without an overlay stays without one', () => {
  const unnamed = held('10.47.128.0/24', { overlay: null, vni: 0 })
  const decision = decideOwnSubnets(clusterOf(), [unnamed], BY, keyspace)
  assert.match(writesOf(decision)[0]!, /"VNI":0.*"Overlay":null/)
  assert.deepEqual(decision.result, [])
})

test("another host's lease on a held subnet, or on a part of it, is never written over", () => {
  const view = clusterOf({
    'subnets/10.47.128.64-26': lease({ overlay: 'web' }),
    'subnets/10.47.129.0-24': lease({ hostId: ME, overlay: 'app', vni: 4097 }),
    'overlays/web': overlay(4096),
    'overlays/app': overlay(4097),
    'holders/10.47.129.0-24': holder(ME),
  })
  assert.deepEqual(
    writesOf(decideOwnSubnets(view, [web, app], BY, keyspace)).map((line) => line.split(' ')[1]),
    ['subnets/10.47.129.0-24', 'holders/10.47.129.0-24'],
  )
})

test('a subnet that was named in the store keeps its overlay there until the journal knows it', () => {
  const view = clusterOf({
    'overlays/app': overlay(4097),
    'subnets/10.47.128.0-24': lease({ hostId: ME, overlay: 'app', vni: 4097 }),
  })
  const unnamed = held('10.47.128.0/24', { overlay: null, vni: 0 })
  const decision = decideOwnSubnets(view, [unnamed], BY, keyspace)
  assert.match(writesOf(decision)[0]!, /"VNI":4097.*"Overlay":"app"/)
  assert.deepEqual(decision.result, [])
})

test("an overlay that another host's expired lease was in is nobody's name for ours", () => {
  const view = clusterOf({ 'overlays/app': overlay(4097) })
  const unnamed = held('10.47.128.0/24', { overlay: null, vni: 0 })
  assert.match(writesOf(decideOwnSubnets(view, [unnamed], BY, keyspace))[0]!, /"Overlay":null/)
})

test('a subnet that got its IPv6 half, or lost it, moves to the key that says so, in the same transaction', () => {
  const both = { ...web, ipv6: heldHalf('fd00:47::/64') }
  const before = clusterOf({ 'subnets/10.47.128.0-24': lease({ hostId: ME }) })
  const after = clusterOf({
    'subnets/10.47.128.0-24&fd00:47::-64': lease({ hostId: ME, ipv6: half('fd00:47::/64') }),
  })
  const keysWritten = (view: ClusterView, mine: HeldSubnet): string[] =>
    writesOf(decideOwnSubnets(view, [mine], BY, keyspace))
      .filter((line) => line.includes('subnets/'))
      .map((line) => line.split(' ').slice(0, 2).join(' '))
  assert.deepEqual(keysWritten(before, both), [
    'delete subnets/10.47.128.0-24',
    'put subnets/10.47.128.0-24&fd00:47::-64',
  ])
  assert.deepEqual(keysWritten(after, web), [
    'delete subnets/10.47.128.0-24&fd00:47::-64',
    'put subnets/10.47.128.0-24',
  ])
  assert.deepEqual(keysWritten(after, both), ['put subnets/10.47.128.0-24&fd00:47::-64'])
})

test('an overlay that is made again, or has lost its IPv6 pool, gets it from whichever subnet knows it', () => {
  const pool = '10.40.0.0/16'
  const first = held('10.40.1.0/24', { kind: 'pooled', pool })
  const second = held('10.40.2.0/24', {
    kind: 'pooled',
    pool,
    ipv6: heldHalf('fd00:40:0:2::/64', 'fd00:40::/48'),
  })
  const overlayWrites = (view: ClusterView): string[] =>
    writesOf(decideOwnSubnets(view, [first, second], BY, keyspace)).filter((line) =>
      line.startsWith('put overlays/'),
    )
  const record =
    'put overlays/web {"VNI":4096,"Pool":"10.40.0.0/16","SubnetLen":24,"Pool6":"fd00:40::/48"}'
  assert.deepEqual(overlayWrites(viewOf({})), [record], 'one write of one key')
  assert.deepEqual(overlayWrites(clusterOf({ 'overlays/web': overlay(4096, pool) })), [record])
  const sound = { 'overlays/web': overlay(4096, pool, 'fd00:40::/48') }
  assert.deepEqual(overlayWrites(clusterOf(sound)), [])
  const taken = {
    'overlays/app': overlay(4097, '10.41.0.0/16', 'fd00:40::/32'),
    'overlays/web': overlay(4096, pool, 'fd00:40::/48'),
  }
  assert.deepEqual(overlayWrites(clusterOf(taken)), [], 'what could not stand is not written again')
})
