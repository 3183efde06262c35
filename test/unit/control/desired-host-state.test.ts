import assert from 'node:assert/strict'
import { test, type TestContext } from 'node:test'
import { desiredHostState, mtuOf } from '../../../src/control/desired-host-state.ts'
import { desiredTables } from '../../../src/control/desired-tables.ts'
import type { OpenPort } from '../../../src/control/journal.ts'
import type { Member } from '../../../src/control/members.ts'
import type { ForwardingTables } from '../../../src/datapath/tables.ts'
import { EMPTY_HOST_STATE, type HostState } from '../../../src/linux/host-state.ts'
import { parseCidr } from '../../../src/net/cidr.ts'
import { formatSubnet } from '../../../src/net/cidr6.ts'
import { parseIpv4 } from '../../../src/net/ipv4.ts'
import { formatIp } from '../../../src/net/ipv6.ts'
import type { ClusterView } from '../../../src/store/cluster-view.ts'
import {
  BY,
  clusterOf,
  half,
  held,
  heldHalf,
  lease,
  ME,
  member,
  overlay,
  pooledLease,
  THIRD,
} from './control-support.ts'

const OUTSIDE = { uplinks: ['eth0'], tunnelPort: 8472 }

/** A line for each thing that the host's network stack should have. */
function stateText(state: HostState): string[] {
  const { tun, bridges, ports, routes, sysctls, allowed, waysOut, tunnelEnds } = state
  return [
    tun
      ? `tun ${tun.name} mtu ${tun.mtu} queue ${tun.queueLength} ${tun.qdisc} ${tun.addresses.join(' ')}`
      : 'no tun',
    ...bridges.map(
      (each) =>
        `bridge ${each.name} mac ${each.mac} mtu ${each.mtu} ${each.addresses.join(' ')}${each.proxyArp ? ' proxy-arp' : ''}`,
    ),
    ...ports.map(
      (port) =>
        `port ${port.name} of ${port.bridge} mtu ${port.mtu}${port.hairpin ? ' hairpin' : ''}`,
    ),
    ...routes.map((route) =>
      Object.entries(route)
        .map(([word, value]) => `${word} ${value}`)
        .join(' ')
        .replace('type ', 'route '),
    ),
    ...[...sysctls].map(([path, value]) => `sysctl ${path}=${value}`),
    ...allowed.map(
      (flow) => `allow ${flow.fromLink} ${flow.fromPrefix} → ${flow.toLink} ${flow.toPrefix}`,
    ),
    ...waysOut.flatMap(({ bridge, subnet, uplinks, tunnelPort, published }) => [
      `out ${bridge} ${subnet} → ${uplinks.join(' ')} but for udp ${tunnelPort}`,
      ...published.map(
        (port) =>
          `publish ${port.hostIp ?? '*'}:${port.hostPort}/${port.protocol} → ${port.address}:${port.port}`,
      ),
    ]),
    ...(tunnelEnds
      ? [
          `guard udp ${tunnelEnds.port} by ${tunnelEnds.uplinks.join(' ')} of ${tunnelEnds.addresses.join(' ')}`,
        ]
      : []),
  ]
}

function tablesText({ vtepMac, local, remote }: ForwardingTables): string[] {
  return [
    `as ${vtepMac}`,
    ...local.map(({ subnet, vni }) => `here ${formatSubnet(subnet)} vni ${vni}`),
    ...remote.map(
      (each) =>
        `there ${formatSubnet(each.subnet)} vni ${each.vni} at ${formatIp(each.publicIp)} ${each.vtepMac} mtu ${each.mtu}`,
    ),
  ]
}

/** Compares all that a host is made to be with the text that was reviewed. */
function matchesGolden(
  t: TestContext,
  name: string,
  members: readonly Member[],
  view: ClusterView,
  steering: readonly string[] = [],
): void {
  const state = desiredHostState({
    hostId: ME,
    members,
    view,
    overlayMtu: 1450,
    steering: steering.map(parseCidr),
    outside: OUTSIDE,
  })
  const tables = desiredTables(members, view, ME, BY.vtepMac, 1450)
  const text = [...stateText(state), '', ...tablesText(tables), ''].join('\n')
  const file = new URL(`../../golden/control/${name}.txt`, import.meta.url).pathname
  t.assert.fileSnapshot(text, file, { serializers: [String] })
}

const POOL = '10.33.0.0/17'
const web = held('10.33.5.0/24', { kind: 'pooled', pool: POOL, prefixLength: 17 })
const inPool = clusterOf({
  'overlays/web': overlay(4096, POOL),
  'subnets/10.33.5.0-24': pooledLease(POOL, { hostId: ME }),
  'subnets/10.33.6.0-24': pooledLease(POOL, { mtu: 1350 }),
  'subnets/10.33.4.0-24': pooledLease(POOL, { hostId: THIRD, publicIp: parseIpv4('172.18.10.99') }),
})
const routed = clusterOf({
  'overlays/web': overlay(4096),
  'overlays/app': overlay(4097),
  'subnets/172.20.0.0-16': lease({ hostId: ME, kind: 'docker' }),
  'subnets/172.21.0.0-16': lease({ kind: 'docker' }),
  'subnets/172.22.0.0-16': lease({ kind: 'docker', hostId: THIRD }),
  'subnets/172.23.0.0-16': lease({ kind: 'docker', hostId: THIRD, overlay: 'app', vni: 4097 }),
})
const plain = held('172.20.0.0/16', { kind: 'docker', gateway: '172.20.0.1' })

test('the first pooled network: one route to the pool, remote neighbours answered for by the bridge', (t) => {
  matchesGolden(t, 'first-pooled', [member('web', web, ['10.33.5.2/17', '10.33.5.3/17'])], inPool)
})

test('a plain network with two remote hosts: a route to each of them, none to other overlays', (t) => {
  matchesGolden(t, 'plain-two-remotes', [member('plain', plain, ['172.20.0.2/16'])], routed, [
    '172.17.0.0/16',
    '172.21.0.0/16',
  ])
})

test('two overlays keep to themselves', (t) => {
  const app = held('172.24.0.0/16', {
    overlay: 'app',
    vni: 4097,
    kind: 'docker',
    gateway: '172.24.0.1',
  })
  matchesGolden(t, 'two-overlays', [member('plain', plain), member('app', app)], routed)
})

test('two networks of this host in one overlay reach each other by their bridges', (t) => {
  const second = held('172.24.0.0/16', { kind: 'docker', gateway: '172.24.0.1' })
  matchesGolden(t, 'shared-overlay', [member('plain', plain), member('second', second)], routed)
})

test('an anycast gateway brings a route to the subnet of its own', (t) => {
  const anycast = { ...web, gateway: '10.33.0.1' }
  matchesGolden(t, 'anycast-gateway', [member('web', anycast, ['10.33.5.2/17'])], inPool)
})

test('a network whose overlay is not known yet has a bridge and leads nowhere', (t) => {
  const unnamed = { ...web, overlay: null, vni: 0 }
  matchesGolden(t, 'overlay-unknown', [member('web', unnamed, ['10.33.5.2/17'])], inPool)
})

test('a network that is its own way out leaves by the uplink, and its ports are those of the host', (t) => {
  const out = member('out', web, ['10.33.5.2/17', '10.33.5.3/17'], { egress: 'bridge' })
  const ports: OpenPort[] = [
    { protocol: 'tcp', port: 80, hostIp: null, hostPort: 8080 },
    { protocol: 'udp', port: 53, hostIp: '127.0.0.1', hostPort: 5353 },
  ]
  const endpoints = out.endpoints.map((each, at) => (at === 0 ? { ...each, ports } : each))
  matchesGolden(t, 'way-out', [{ ...out, endpoints }], inPool)
})

const POOL6 = 'fd00:33::/48'
const web6 = { ...web, ipv6: heldHalf('fd00:33:0:5::/64', POOL6) }

test('a pooled network of both families: the same of IPv6, as far as other hosts have it', (t) => {
  const view = clusterOf({
    'overlays/web': overlay(4096, POOL, POOL6),
    'subnets/10.33.5.0-24&fd00:33:0:5::-64': pooledLease(POOL, {
      hostId: ME,
      ipv6: half('fd00:33:0:5::/64', POOL6),
    }),
    'subnets/10.33.6.0-24&fd00:33:0:6::-64': pooledLease(POOL, {
      mtu: 1350,
      ipv6: half('fd00:33:0:6::/64', POOL6),
    }),
    'subnets/10.33.4.0-24': pooledLease(POOL, { hostId: THIRD }),
  })
  matchesGolden(t, 'pooled-both-families', [member('web', web6, ['10.33.5.2/17'])], view)
})

test('plain networks of both families: a route to each subnet, and bridges that reach each other', (t) => {
  const view = clusterOf({
    'overlays/web': overlay(4096),
    'subnets/172.21.0.0-16&fd00:21::-64': lease({ kind: 'docker', ipv6: half('fd00:21::/64') }),
    'subnets/172.22.0.0-16': lease({ kind: 'docker', hostId: THIRD }),
  })
  const first = { ...plain, ipv6: heldHalf('fd00:20::/64') }
  const second = held('172.24.0.0/16', {
    kind: 'docker',
    gateway: '172.24.0.1',
    ipv6: heldHalf('fd00:24::/64'),
  })
  const third = held('172.25.0.0/16', { kind: 'docker', gateway: '172.25.0.1' })
  const members = [member('plain', first), member('second', second), member('third', third)]
  matchesGolden(t, 'plain-both-families', members, view)
})

test('IPv6 of other hosts concerns a host only when it has IPv6 in that overlay itself', () => {
  const view = clusterOf({
    'overlays/web': overlay(4096, POOL, POOL6),
    'subnets/10.33.6.0-24&fd00:33:0:6::-64': pooledLease(POOL, {
      ipv6: half('fd00:33:0:6::/64', POOL6),
    }),
  })
  const input = { hostId: ME, view, overlayMtu: 1450, steering: [], outside: OUTSIDE }
  const state = desiredHostState({ ...input, members: [member('web', web)] })
  const tables = desiredTables([member('web', web)], view, ME, BY.vtepMac, 1450)
  assert.doesNotMatch([...stateText(state), ...tablesText(tables)].join('\n'), /fd00|ipv6/)
})

test('an internal network is no way out, and publishes nothing', () => {
  const shut = member('shut', web, ['10.33.5.2/17'], { egress: 'bridge', internal: true })
  const input = { hostId: ME, view: inPool, overlayMtu: 1450, steering: [], outside: OUTSIDE }
  assert.deepEqual(desiredHostState({ ...input, members: [shut] }).waysOut, [])
})

test('a host without networks has nothing but the routes that steer its Docker', () => {
  const input = { hostId: ME, members: [], view: inPool, overlayMtu: 1450, outside: OUTSIDE }
  assert.deepEqual(desiredHostState({ ...input, steering: [] }), EMPTY_HOST_STATE)
  assert.deepEqual(
    stateText(desiredHostState({ ...input, steering: [parseCidr('172.17.0.0/16')] })),
    ['no tun', 'route unreachable to 172.17.0.0/16 scope link metric 4294967294'],
  )
})

test('the MTU of a network is as asked, never more than the path carries', () => {
  assert.equal(mtuOf(member('web', web, [], { mtu: null }), 1450), 1450)
  assert.equal(mtuOf(member('web', web, [], { mtu: 1300 }), 1450), 1300)
  assert.equal(mtuOf(member('web', web, [], { mtu: 1450 }), 1350), 1350)
})

test("a lease with another identifier than its overlay's, or with none, is not forwarded to", () => {
  const view = clusterOf({
    'overlays/web': overlay(4096, POOL),
    'subnets/10.33.6.0-24': pooledLease(POOL, { vni: 4099 }),
    'subnets/10.33.7.0-24': pooledLease(POOL, { vni: 0 }),
    'subnets/10.33.8.0-24': pooledLease(POOL, { overlay: 'app' }),
    'subnets/10.33.9.0-24': pooledLease(POOL, { mtu: null }),
  })
  const { remote } = desiredTables([member('web', web)], view, ME, BY.vtepMac, 1450)
  assert.deepEqual(
    remote.map(({ subnet, mtu }) => [formatSubnet(subnet), mtu]),
    [['10.33.9.0/24', 1450]],
  )
})
