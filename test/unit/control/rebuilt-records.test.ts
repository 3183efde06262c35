import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { KnownNetwork } from '../../../src/control/known-networks.ts'
import {
  rebuiltEndpoint,
  rebuiltNetwork,
  rebuiltSubnet,
} from '../../../src/control/rebuilt-records.ts'
import { clusterOf, half, lease, pooledLease } from './control-support.ts'

const WEB: KnownNetwork = {
  id: 'n',
  name: 'web',
  ipam: 'overlay-ts',
  internal: true,
  ipv4: true,
  mtu: 1400,
  egress: 'docker',
  subnet: '10.40.0.0/16',
  gateway: null,
  subnet6: null,
  gateway6: null,
  reserved: [],
  endpoints: [
    {
      id: 'e1',
      containerId: 'c1',
      address: '10.40.5.2/16',
      address6: null,
      mac: '02:42:0A:28:05:02',
    },
    {
      id: 'e2',
      containerId: 'c2',
      address: '10.40.5.9/16',
      address6: null,
      mac: '02:42:0a:28:05:09',
    },
  ],
}

const leaseOf = (text: string, subnet = '10.40.5.0/24', key6 = '') =>
  clusterOf({ [`subnets/${subnet.replace('/', '-')}${key6}`]: text }).subnets.get(subnet)!

const POOLED = leaseOf(pooledLease('10.40.0.0/16', { networkId: 'n', overlay: 'web', vni: 4100 }))

const usesOf = (known: KnownNetwork): string[] =>
  rebuiltSubnet(POOLED, known, 7).addresses!.uses.map(
    ({ address, purpose }) => `${purpose} ${address}`,
  )

test('a subnet is as its lease says, with the addresses that containers have', () => {
  const { addresses, ...held } = rebuiltSubnet(POOLED, WEB, 7)
  assert.deepEqual(held, {
    subnet: '10.40.5.0/24',
    kind: 'pooled',
    pool: '10.40.0.0/16',
    prefixLength: 16,
    overlay: 'web',
    vni: 4100,
    gateway: '10.40.5.1',
    networkId: 'n',
    since: 7,
    ipv6: null,
  })
  assert.equal(addresses?.subnet, '10.40.5.0/24')
  assert.deepEqual(usesOf(WEB), ['gateway 10.40.5.1', 'endpoint 10.40.5.2', 'endpoint 10.40.5.9'])
})

test('a chosen gateway and reserved addresses are taken down, those elsewhere in the pool are not', () => {
  const chosen = { ...WEB, gateway: '10.40.5.254', reserved: ['10.40.5.7', '10.40.6.7'] }
  assert.deepEqual(usesOf(chosen), [
    'gateway 10.40.5.254',
    'reserved 10.40.5.7',
    'endpoint 10.40.5.2',
    'endpoint 10.40.5.9',
  ])
  const anycast = { ...WEB, gateway: '10.40.0.1', endpoints: [] }
  assert.deepEqual(usesOf(anycast), [])
  assert.equal(rebuiltSubnet(POOLED, anycast, 7).gateway, '10.40.0.1')
})

test("an address that is listed twice is taken once; where Docker's IPAM gives them, none is", () => {
  const twice = { ...WEB, reserved: ['10.40.5.1', '10.40.5.2'] }
  assert.deepEqual(usesOf(twice), ['gateway 10.40.5.1', 'reserved 10.40.5.2', 'endpoint 10.40.5.9'])
  const docker = leaseOf(lease({ kind: 'docker', networkId: 'n' }), '172.20.0.0/16')
  const plain = { ...WEB, ipam: 'docker', gateway: '172.20.0.1', endpoints: [] } as const
  const { addresses, prefixLength } = rebuiltSubnet(docker, plain, 7)
  assert.deepEqual([addresses, prefixLength], [null, 16])
})

test('a network keeps what it was made with and the MAC that its containers know', () => {
  assert.deepEqual(rebuiltNetwork(WEB, '10.40.5.0/24', '02:00:00:00:00:01'), {
    id: 'n',
    subnet: '10.40.5.0/24',
    ipam: 'overlay-ts',
    name: 'web',
    internal: true,
    ipv4: true,
    mtu: 1400,
    egress: 'docker',
    bridgeMac: '02:00:00:00:00:01',
  })
})

test('an attachment is one that was joined long ago', () => {
  const held = rebuiltSubnet(POOLED, WEB, 7)
  assert.deepEqual(rebuiltEndpoint(WEB.endpoints[0]!, WEB, held, '/run/docker/netns/1', 7), {
    id: 'e1',
    networkId: 'n',
    address: '10.40.5.2/16',
    address6: null,
    mac: '02:42:0a:28:05:02',
    answered: { address: false, address6: false, mac: false },
    sandbox: '/run/docker/netns/1',
    joinedRoutes: [],
    joinedAt: 7,
    ports: [],
  })
})

const BOTH = leaseOf(
  pooledLease('10.40.0.0/16', {
    networkId: 'n',
    overlay: 'web',
    vni: 4100,
    ipv6: half('fd00:40:0:5::/64', 'fd00:40::/48'),
  }),
  '10.40.5.0/24',
  '&fd00:40:0:5::-64',
)

const withIpv6 = (changes: Partial<KnownNetwork> = {}): KnownNetwork => ({
  ...WEB,
  subnet6: 'fd00:40:0:5::/64',
  reserved: ['10.40.5.7', 'fd00:40:0:5::7'],
  endpoints: WEB.endpoints.map((each, at) => ({ ...each, address6: `fd00:40:0:5::${at + 2}/64` })),
  ...changes,
})

test('the IPv6 half is as the lease says, with the addresses of that family', () => {
  const { ipv6 } = rebuiltSubnet(BOTH, withIpv6({ gateway6: 'fd00:40:0:5::ff' }), 7)
  assert.deepEqual(
    [ipv6?.subnet, ipv6?.pool, ipv6?.gateway],
    ['fd00:40:0:5::/64', 'fd00:40::/48', 'fd00:40:0:5::ff'],
  )
  assert.deepEqual(
    ipv6?.addresses?.uses.map(({ address, purpose }) => `${purpose} ${address}`),
    [
      'gateway fd00:40:0:5::ff',
      'reserved fd00:40:0:5::7',
      'endpoint fd00:40:0:5::2',
      'endpoint fd00:40:0:5::3',
    ],
  )
  const dockers = rebuiltSubnet(BOTH, withIpv6({ ipam: 'docker' }), 7)
  assert.equal(dockers.ipv6?.addresses, null)
  assert.equal(dockers.ipv6?.gateway, 'fd00:40:0:5::1')
})

test('of a network without IPv4 the address that a container never heard of is told by its MAC', () => {
  const known = withIpv6({
    ipv4: false,
    endpoints: withIpv6().endpoints.map((each) => ({ ...each, address: null })),
  })
  const held = rebuiltSubnet(BOTH, known, 7)
  assert.deepEqual(
    held.addresses?.uses.map(({ address }) => address),
    ['10.40.5.1', '10.40.5.7', '10.40.5.2', '10.40.5.9'],
  )
  const found = rebuiltEndpoint(known.endpoints[0]!, known, held, '/run/docker/netns/1', 7)
  assert.deepEqual([found?.address, found?.address6], ['10.40.5.2/16', 'fd00:40:0:5::2/64'])
  const strange = { ...known.endpoints[0]!, mac: '02:11:22:33:44:55' }
  assert.equal(rebuiltEndpoint(strange, known, held, '/run/docker/netns/1', 7), null)
})
