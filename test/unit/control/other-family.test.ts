import assert from 'node:assert/strict'
import { test } from 'node:test'
import { desiredTables } from '../../../src/control/desired-tables.ts'
import { allHazards } from '../../../src/control/host-facts.ts'
import { withoutOtherFamily } from '../../../src/control/other-family.ts'
import { parseIp, type Ip } from '../../../src/net/ip.ts'
import { formatIp } from '../../../src/net/ipv6.ts'
import { problemsOf } from '../store/view-support.ts'
import {
  BY,
  clusterOf,
  held,
  host,
  lease,
  ME,
  member,
  OTHER,
  overlay,
  THIRD,
} from './control-support.ts'
import { factsOf } from './fake-facts.ts'

const at = (ip: string): { publicIp: Ip } => ({ publicIp: parseIp(ip) })

/** Two hosts whose tunnels are IPv6, this one among them, one of IPv4, and one of flannel's. */
const view = clusterOf({
  'overlays/web': overlay(4096),
  'subnets/10.47.1.0-24': lease({ ...at('fd00:18::96'), hostId: ME }),
  'subnets/10.47.2.0-24': lease({ ...at('fd00:18::98'), hostId: OTHER }),
  'subnets/10.47.3.0-24': lease({ ...at('172.18.10.99'), hostId: THIRD }),
  'subnets/10.47.4.0-24': lease({ ...at('172.18.10.97'), hostId: null }),
  [`hosts/${OTHER}`]: host('berta', 'fd00:18::98'),
  [`hosts/${THIRD}`]: host('carla', '172.18.10.99'),
})

test('hosts whose tunnels are of the other family are left out, each by its name', () => {
  const mine = withoutOtherFamily(view, parseIp('fd00:18::96'), ME)
  assert.deepEqual([...mine.subnets.keys()], ['10.47.1.0/24', '10.47.2.0/24'])
  assert.deepEqual(problemsOf(mine), [
    "subnets/10.47.3.0-24: is on host carla, whose tunnels end at 172.18.10.99 (IPv4) and this host's at fd00:18::96 (IPv6): set HOST_IP on one of them so that both are of one family",
    "subnets/10.47.4.0-24: is on host unknown, whose tunnels end at 172.18.10.97 (IPv4) and this host's at fd00:18::96 (IPv6): set HOST_IP on one of them so that both are of one family",
  ])
})

test("a host's own lease stays while it moves from one family to the other", () => {
  const mine = withoutOtherFamily(view, parseIp('172.18.10.96'), ME)
  assert.deepEqual([...mine.subnets.keys()], ['10.47.1.0/24', '10.47.3.0/24', '10.47.4.0/24'])
})

test('a view of one family is the same object, so that nothing is worked out again', () => {
  const one = clusterOf({ 'subnets/10.47.2.0-24': lease() })
  assert.equal(withoutOtherFamily(one, BY.publicIp, ME), one)
})

test('the forwarder sends to the IPv6 address of a host', () => {
  const members = [member('web', held('10.47.1.0/24'))]
  const mine = withoutOtherFamily(view, parseIp('fd00:18::96'), ME)
  const { remote } = desiredTables(members, mine, ME, BY.vtepMac, 1430)
  assert.deepEqual(
    remote.map(({ publicIp, mtu }) => [formatIp(publicIp), mtu]),
    [['fd00:18::98', 1430]],
  )
})

test('tunnel ends of either family are what no lease may cover, since one may have an IPv6 half', () => {
  const { addresses } = allHazards(factsOf(parseIp('fd00:18::96')), view, [])
  assert.deepEqual(
    addresses.map(({ ip }) => formatIp(ip)),
    ['fd00:18::98', '172.18.10.99', 'fd00:18::96', '172.18.10.97'],
  )
})
