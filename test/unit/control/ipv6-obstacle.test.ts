import assert from 'node:assert/strict'
import { test } from 'node:test'
import { carried, ipv6Obstacle, refuseUncarried } from '../../../src/control/ipv6-obstacle.ts'
import { held, heldHalf, member } from './control-support.ts'
import { FACTS } from './fake-facts.ts'

const NARROW = { ...FACTS, overlayMtu: 1230 }
const WITHOUT = { ...FACTS, hasIpv6: false }

const dual = member('d', held('10.33.5.0/24', { ipv6: heldHalf('fd0d:cafe:1:5::/64') }))
const plain = member('p', held('10.33.6.0/24'))

test('IPv6 needs a kernel that has it, and links of 1280 bytes', () => {
  assert.equal(ipv6Obstacle({ mtu: null }, FACTS), null)
  assert.equal(ipv6Obstacle({ mtu: 1280 }, FACTS), null)
  assert.match(ipv6Obstacle({ mtu: 1279 }, FACTS)!.reason, /would carry 1279, of 1450/)
  assert.match(ipv6Obstacle({ mtu: null }, NARROW)!.reason, /would carry 1230, of 1230/)
  assert.match(ipv6Obstacle({ mtu: null }, WITHOUT)!.reason, /no IPv6/)
})

test('a network whose IPv6 cannot be carried any more goes on with IPv4, and the others as they are', () => {
  for (const facts of [NARROW, WITHOUT]) {
    const told: string[] = []
    const [first, second] = carried([dual, plain], facts, (sentence) => told.push(sentence))
    assert.equal(first!.held.ipv6, null)
    assert.equal(first!.held.subnet, '10.33.5.0/24')
    assert.equal(second, plain)
    assert.match(told.join(), /^the network with 10\.33\.5\.0\/24 goes on without its IPv6 fd0d:/)
  }
  assert.deepEqual(carried([dual, plain], FACTS), [dual, plain])
})

test('no container gets an IPv6 address where nothing can carry it', () => {
  for (const facts of [NARROW, WITHOUT]) {
    assert.throws(
      () => refuseUncarried(dual, facts),
      /^OverlayError.*cannot carry any more: .*--ipv6$/,
    )
    refuseUncarried(plain, facts)
  }
  refuseUncarried(dual, FACTS)
})
