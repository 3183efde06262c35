import assert from 'node:assert/strict'
import { test } from 'node:test'
import { decideOwnSubnets, OPERATIONS_PER_SUBNET } from '../../../src/control/decide-own-subnets.ts'
import { keyspace, viewOf } from '../store/view-support.ts'
import { BY, clusterOf, held, holder, lease, ME, overlay, writesOf } from './control-support.ts'

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
