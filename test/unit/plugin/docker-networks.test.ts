import assert from 'node:assert/strict'
import { test } from 'node:test'
import { knownNetwork } from '../../../plugin/docker-networks.ts'

/** What dockerd 20.10 answers to `GET /networks/{id}`, shortened. */
const ANSWER = {
  Name: 'web',
  Id: '1f0a9c27e6b3',
  Scope: 'local',
  Driver: 'overlay-ts',
  Internal: false,
  IPAM: {
    Driver: 'overlay-ts',
    Options: { overlay: 'web' },
    Config: [{ Subnet: '10.32.5.0/24', Gateway: '10.32.5.1/24' }],
  },
  Containers: {
    c0ffee: {
      Name: 'db',
      EndpointID: 'e1',
      MacAddress: '02:42:0a:20:05:02',
      IPv4Address: '10.32.5.2/17',
      IPv6Address: '',
    },
    'ep-e2': {
      Name: 'gone',
      EndpointID: 'e2',
      MacAddress: '02:42:0a:20:05:03',
      IPv4Address: '10.32.5.3/17',
    },
    beef: { Name: 'starting', EndpointID: 'e3', MacAddress: '', IPv4Address: '' },
  },
  Options: { mtu: '1400' },
  Labels: {},
}

test('a network is what Docker shows of it, with the containers that run', () => {
  assert.deepEqual(knownNetwork(ANSWER, 'overlay-ts'), {
    id: '1f0a9c27e6b3',
    name: 'web',
    ipam: 'overlay-ts',
    internal: false,
    ipv4: true,
    mtu: 1400,
    egress: 'docker',
    subnet: '10.32.5.0/24',
    gateway: '10.32.5.1',
    subnet6: null,
    gateway6: null,
    reserved: [],
    endpoints: [
      {
        id: 'e1',
        containerId: 'c0ffee',
        address: '10.32.5.2/17',
        address6: null,
        mac: '02:42:0a:20:05:02',
      },
    ],
  })
})

test('its address management is told by the name of its driver', () => {
  const ipamOf = (Driver: string): string =>
    knownNetwork({ ...ANSWER, IPAM: { Driver, Config: null } }, 'overlay-ts')?.ipam ?? 'none'
  assert.equal(ipamOf('default'), 'docker')
  assert.equal(ipamOf('null'), 'null')
  assert.equal(ipamOf('registry.example/overlay-ts:1.0'), 'overlay-ts')
  assert.equal(ipamOf('somebody-else'), 'docker')
})

test("reserved addresses come without their lengths, and Go's empty values are empty", () => {
  const Config = [
    { Subnet: '10.40.0.0/16', AuxiliaryAddresses: { a: '10.40.5.9', b: '10.40.5.8/24' } },
  ]
  const bare = { ...ANSWER, IPAM: { Driver: 'default', Config }, Options: null, Containers: null }
  const { reserved, gateway, mtu, endpoints } = knownNetwork(bare, 'overlay-ts')!
  assert.deepEqual(
    [reserved, gateway, mtu, endpoints],
    [['10.40.5.9', '10.40.5.8'], null, null, []],
  )
})

test('a network of a swarm is this host’s only while it is on this host', () => {
  const swarm = { ...ANSWER, Scope: 'swarm' }
  assert.equal(knownNetwork(swarm, 'overlay-ts')?.id, ANSWER.Id)
  assert.equal(knownNetwork({ ...swarm, Containers: {} }, 'overlay-ts')?.id, ANSWER.Id)
  const elsewhere = { ...swarm, IPAM: { Driver: 'overlay-ts', Config: [] }, Containers: null }
  assert.equal(knownNetwork(elsewhere, 'overlay-ts'), null)
})

test('a network of both families, and one of IPv6 alone, as Docker 28 shows them', () => {
  const both = {
    ...ANSWER,
    EnableIPv4: true,
    IPAM: {
      Driver: 'overlay-ts',
      Config: [
        { Subnet: 'fd00:40:0:5::/64', Gateway: 'fd00:40:0:5::1/64' },
        { Subnet: '10.32.5.0/24', Gateway: '10.32.5.1', AuxiliaryAddresses: { a: '10.32.5.9' } },
      ],
    },
    Containers: {
      c0ffee: { ...ANSWER.Containers.c0ffee, IPv6Address: 'fd00:40:0:5::2/64' },
    },
  }
  const known = knownNetwork(both, 'overlay-ts')!
  assert.deepEqual(
    [known.ipv4, known.subnet, known.gateway, known.subnet6, known.gateway6, known.reserved],
    [true, '10.32.5.0/24', '10.32.5.1', 'fd00:40:0:5::/64', 'fd00:40:0:5::1', ['10.32.5.9']],
  )
  const { address, address6 } = known.endpoints[0]!
  assert.deepEqual([address, address6], ['10.32.5.2/17', 'fd00:40:0:5::2/64'])
  const alone = knownNetwork(
    {
      ...both,
      EnableIPv4: false,
      IPAM: { Driver: 'overlay-ts', Config: both.IPAM.Config.slice(0, 1) },
      Containers: { c0ffee: { ...both.Containers.c0ffee, IPv4Address: '' } },
    },
    'overlay-ts',
  )!
  assert.deepEqual([alone.ipv4, alone.subnet], [false, null])
  assert.deepEqual(
    alone.endpoints.map((each) => [each.address, each.address6]),
    [[null, 'fd00:40:0:5::2/64']],
  )
})
