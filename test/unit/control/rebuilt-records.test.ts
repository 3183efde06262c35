import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { KnownNetwork } from '../../../src/control/known-networks.ts'
import {
  rebuiltEndpoint,
  rebuiltNetwork,
  rebuiltSubnet,
} from '../../../src/control/rebuilt-records.ts'
import { clusterOf, lease, pooledLease } from './control-support.ts'

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

const leaseOf = (text: string, subnet = '10.40.5.0/24') =>
  clusterOf({ [`subnets/${subnet.replace('/', '-')}`]: text }).subnets.get(subnet)!

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
    'endpoint 10.40.5.2',
    'reserved 10.40.5.7',
    'endpoint 10.40.5.9',
    'gateway 10.40.5.254',
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
