import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { overlaps, parseCidr, prefixOf } from '../../../src/net/cidr.ts'
import {
  formatCidr6,
  overlaps6,
  parseCidr6,
  prefixOf6,
  type Cidr6,
} from '../../../src/net/cidr6.ts'
import { formatIp } from '../../../src/net/ipv6.ts'
import type { ClusterView } from '../../../src/store/cluster-view.ts'
import { parseView } from '../../../src/store/parse-view.ts'
import { encodeOverlay, encodeSubnet } from '../../../src/store/records.ts'
import { keyspace, leaseValue, problemsOf, snapshotOf, viewOf } from './view-support.ts'

const CONFIG =
  '{"Network":"10.32.0.0/12","SubnetLen":24,"Backend":{"Type":"vxlan","VNI":1,"Port":8472}}'
const pooled = encodeSubnet(leaseValue())
const routed = encodeSubnet(leaseValue({ kind: 'routed', pool: null }))
const docker = encodeSubnet(leaseValue({ kind: 'docker', pool: null }))
const overlay = (vni: number, pool: string | null, pool6: string | null = null): string =>
  encodeOverlay({
    vni,
    pool: pool === null ? null : parseCidr(pool),
    subnetLength: 24,
    pool6: pool6 === null ? null : parseCidr6(pool6),
  })
/** The IPv6 subnet of each lease that was read. */
const halvesOf = (view: ClusterView): (string | null)[][] =>
  [...view.subnets].map(([text, { ipv6 }]) => [text, ipv6 && formatCidr6(ipv6.subnet)])

test('an empty store is an empty view', () => {
  const view = viewOf({})
  assert.equal(view.config, null)
  assert.equal(view.allocatorRevision, null)
  assert.equal(view.subnets.size, 0)
  assert.deepEqual(view.problems, [])
})

test('every kind of key finds its place in the view', () => {
  const view = viewOf({
    config: CONFIG,
    'overlays/web': overlay(4096, '10.33.0.0/16'),
    'subnets/10.33.5.0-24': pooled,
    'holders/10.33.5.0-24': '{"HostID":"host-a"}',
    'hosts/host-a':
      '{"Hostname":"node-1","Instance":"f00","PublicIP":"172.18.10.96","Version":"0.1.0","MTU":1450}',
    'private/host-a': '{"Prefixes":["172.17.0.0/16"]}',
    'endpoints/10.33.5.0-24/10.33.5.2': '{"EndpointID":"e1","MAC":"02:42:0a:21:05:02"}',
    allocator: '{"At":"2026-01-01T00:00:00.000Z"}',
  })
  assert.deepEqual(problemsOf(view), [])
  assert.equal(view.config?.subnetLength, 24)
  assert.equal(view.overlays.get('web')?.vni, 4096)
  assert.equal(view.subnets.get('10.33.5.0/24')?.overlay, 'web')
  assert.equal(view.subnets.get('10.33.5.0/24')?.modRevision, '4')
  assert.equal(view.holders.get('10.33.5.0/24'), 'host-a')
  assert.equal(view.hosts.get('host-a')?.hostname, 'node-1')
  assert.deepEqual(view.privatePrefixes.get('host-a'), [parseCidr('172.17.0.0/16')])
  assert.equal(view.endpoints[0]?.endpointId, 'e1')
  assert.equal(view.allocatorRevision, '9')
})

test('garbage becomes problems, one for each key, and hurts nothing else', () => {
  const garbage = [
    '',
    'null',
    '7',
    '"x"',
    '[]',
    '{}',
    '{',
    '{"PublicIP":7}',
    '\u0000',
    '{"__proto__":1}',
  ]
  const keys = [
    'config',
    'subnets/10.32.5.0-24',
    'overlays/web',
    'endpoints/10.32.5.0-24/10.32.5.2',
    'hosts/h',
    'private/h',
    'holders/10.32.5.0-24',
  ]
  for (const value of garbage) {
    const broken = Object.fromEntries(keys.map((key) => [key, value]))
    const view = viewOf({ ...broken, 'nobody/knows': value, 'subnets/10.32.6.0-24': routed })
    assert.equal(view.problems.length, keys.length + 1, value)
    assert.deepEqual([...view.subnets.keys()], ['10.32.6.0/24'])
  }
})

test('no value of any key makes reading throw', () => {
  const key = fc.constantFrom(
    'config',
    'subnets/10.32.5.0-24',
    'overlays/web',
    'hosts/h',
    'private/h',
  )
  fc.assert(
    fc.property(key, fc.oneof(fc.string(), fc.json()), (name, value) => {
      viewOf({ [name]: value })
    }),
  )
})

test('a lease outside Network needs a reason to be there', () => {
  const view = viewOf({
    config: CONFIG,
    'overlays/web': overlay(4096, '192.168.0.0/17'),
    'subnets/10.32.5.0-24': routed,
    'subnets/172.20.0.0-16': docker,
    'subnets/192.168.5.0-24': routed,
    'subnets/192.168.200.0-24': encodeSubnet(leaseValue({ pool: parseCidr('192.168.128.0/17') })),
    'subnets/8.8.8.0-24': routed,
  })
  assert.deepEqual(
    [...view.subnets.keys()],
    ['10.32.5.0/24', '172.20.0.0/16', '192.168.5.0/24', '192.168.200.0/24'],
  )
  assert.deepEqual(problemsOf(view), [
    "subnets/8.8.8.0-24: is outside the cluster's Network 10.32.0.0/12 and in no overlay's pool",
  ])
})

test("of a dual-stack flannel cluster's keys the IPv4 part is understood", () => {
  const attributes = {
    PublicIP: '192.168.64.3',
    PublicIPv6: '2001:db8::3',
    BackendType: 'vxlan',
    BackendData: { VNI: 1, VtepMAC: 'c6:d2:32:6f:8f:44' },
    BackendV6Data: { VNI: 1, VtepMAC: 'fa:16:3e:00:00:01' },
  }
  const view = viewOf({
    config:
      '{"Network":"10.5.0.0/16","EnableIPv6":true,"IPv6Network":"fc00::/48","IPv6SubnetLen":64,"Backend":{"Type":"vxlan"}}',
    'subnets/10.5.52.0-24&fc00:0:0:1::-64': JSON.stringify(attributes),
    'subnets/10.5.53.0-24&fc00:0:0:2::-64': JSON.stringify({
      ...attributes,
      PublicIP: '192.168.64.4',
    }),
  })
  assert.deepEqual(problemsOf(view), [])
  assert.deepEqual(
    [...view.subnets].map(([subnet, { publicIp, vtepMac, ipv6 }]) => [
      subnet,
      formatIp(publicIp),
      vtepMac,
      ipv6,
    ]),
    [
      ['10.5.52.0/24', '192.168.64.3', 'c6:d2:32:6f:8f:44', null],
      ['10.5.53.0/24', '192.168.64.4', 'c6:d2:32:6f:8f:44', null],
    ],
  )
})

test("a flannel host without IPv4 is a problem, and stands in nobody else's way", () => {
  const view = viewOf({
    'subnets/0.0.0.0-0&fc00:0:0:1::-64':
      '{"PublicIP":"0.0.0.0","PublicIPv6":"2001:db8::3","BackendType":"vxlan","BackendData":{"VNI":1,"VtepMAC":"c6:d2:32:6f:8f:44"}}',
    'subnets/10.32.5.0-24': routed,
  })
  assert.deepEqual([...view.subnets.keys()], ['10.32.5.0/24'])
  assert.deepEqual(problemsOf(view), [
    'subnets/0.0.0.0-0&fc00:0:0:1::-64: is of a host without an IPv4 subnet, which cannot be reached',
  ])
})

test('a broken config takes no lease away', () => {
  const view = viewOf({ config: '{', 'subnets/8.8.8.0-24': routed })
  assert.deepEqual([...view.subnets.keys()], ['8.8.8.0/24'])
})

test('of two leases that overlap the older one stands', () => {
  const narrowFirst = viewOf({ 'subnets/10.33.5.0-24': pooled, 'subnets/10.33.0.0-16': docker })
  assert.deepEqual([...narrowFirst.subnets.keys()], ['10.33.5.0/24'])
  assert.deepEqual(problemsOf(narrowFirst), [
    'subnets/10.33.0.0-16: overlaps the older lease 10.33.5.0/24 of host host-a',
  ])
  const wideFirst = viewOf({ 'subnets/10.33.0.0-16': docker, 'subnets/10.33.5.0-24': pooled })
  assert.deepEqual([...wideFirst.subnets.keys()], ['10.33.0.0/16'])
})

test('age is compared as a number', () => {
  const entry = (name: string, createRevision: string) => {
    const key = `${keyspace.root}subnets/${name}`
    return { key, value: docker, createRevision, modRevision: '100', lease: null }
  }
  const entries = [entry('10.33.5.0-24', '10'), entry('10.33.0.0-16', '9')]
  const view = parseView(keyspace, {
    revision: '100',
    entries: new Map(entries.map((each) => [each.key, each])),
  })
  assert.deepEqual([...view.subnets.keys()], ['10.33.0.0/16'])
})

test('of two overlays with one VNI, or with overlapping pools, the older one stands', () => {
  const view = viewOf({
    'overlays/web': overlay(4096, '10.33.0.0/16'),
    'overlays/copy': overlay(4096, null),
    'overlays/inside': overlay(4097, '10.33.128.0/17'),
    'overlays/other': overlay(4098, '10.34.0.0/16'),
  })
  assert.deepEqual([...view.overlays.keys()], ['web', 'other'])
  assert.deepEqual(problemsOf(view), [
    'overlays/copy: has the VNI 4096 of the older overlay "web"',
    'overlays/inside: has the pool 10.33.128.0/17, which overlaps that of the older overlay "web"',
  ])
})

test('whatever is leased, the view is disjoint and every lease left out overlaps an older one', () => {
  const prefix = fc
    .tuple(fc.integer({ min: 0, max: 31 }), fc.integer({ min: 24, max: 32 }))
    .map(([last, length]) => prefixOf(0x0a20_0500 + last, length))
  fc.assert(
    fc.property(
      fc.uniqueArray(prefix, { selector: (each) => keyspace.subnet(each) }),
      (prefixes) => {
        const values = Object.fromEntries(prefixes.map((each) => [keyspace.subnet(each), docker]))
        const view = parseView(keyspace, snapshotOf(values))
        const kept = prefixes.filter((each) =>
          [...view.subnets.values()].some(({ key }) => key === keyspace.subnet(each)),
        )
        for (const each of prefixes) {
          const older = kept.filter((other) => prefixes.indexOf(other) < prefixes.indexOf(each))
          assert.equal(kept.includes(each), !older.some((other) => overlaps(other, each)))
        }
      },
    ),
  )
})

test('a lease of both families is one lease, under its IPv4 subnet', () => {
  const ipv6 = { subnet: parseCidr6('fd0d:cafe:1:5::/64'), pool: parseCidr6('fd0d:cafe:1::/48') }
  const view = viewOf({
    'overlays/web': overlay(4096, '10.33.0.0/16', 'fd0d:cafe:1::/48'),
    'subnets/10.33.5.0-24&fd0d:cafe:1:5::-64': encodeSubnet(leaseValue({ ipv6 })),
    'endpoints/10.33.5.0-24/10.33.5.2':
      '{"EndpointID":"e1","MAC":"02:42:0a:21:05:02","IPv6":"fd0d:cafe:1:5::2"}',
  })
  assert.deepEqual(problemsOf(view), [])
  assert.deepEqual(view.overlays.get('web')?.pool6, ipv6.pool)
  assert.deepEqual(view.subnets.get('10.33.5.0/24')?.ipv6, ipv6)
  assert.equal(view.endpoints[0]?.ipv6, ipv6.subnet.address + 2n)
})

test('of two leases with overlapping IPv6 subnets the younger is read without its own', () => {
  const view = viewOf({
    'subnets/10.33.5.0-24&fd00:1::-64': docker,
    'subnets/10.33.6.0-24&fd00::-16': docker,
    'subnets/10.33.7.0-24&fd01:2::-64': docker,
  })
  assert.deepEqual(halvesOf(view), [
    ['10.33.5.0/24', 'fd00:1::/64'],
    ['10.33.6.0/24', null],
    ['10.33.7.0/24', 'fd01:2::/64'],
  ])
  assert.deepEqual(view.problems, [
    {
      key: '/overlay-ts/subnets/10.33.6.0-24&fd00::-16',
      part: 'IPv6',
      reason: 'overlaps the older lease fd00:1::/64 of host host-a',
    },
  ])
})

test('a lease that is left out takes no IPv6 subnet from another', () => {
  const view = viewOf({
    config: CONFIG,
    'subnets/8.8.8.0-24&fd00:1::-64': routed,
    'subnets/10.33.5.0-24&fd00:1::-64': routed,
  })
  assert.deepEqual(halvesOf(view), [['10.33.5.0/24', 'fd00:1::/64']])
})

test('an IPv6 subnet that every link has, or that is no host, is not behind a host', () => {
  const view = viewOf({
    'subnets/10.33.5.0-24&fe80::-64': docker,
    'subnets/10.33.6.0-24&::-0': docker,
    'subnets/10.33.7.0-24&ff02::-16': docker,
  })
  assert.deepEqual(
    halvesOf(view).map(([, half]) => half),
    [null, null, null],
  )
  assert.deepEqual(
    view.problems.map(({ reason }) => reason),
    [
      'fe80::/64 overlaps fe80::/10, which is link-local, the same on every link',
      '::/0 overlaps ::/8, which holds loopback and IPv4-mapped addresses',
      'ff02::/16 overlaps ff00::/8, which is multicast',
    ],
  )
})

test('of two overlays with overlapping IPv6 pools the younger goes on without', () => {
  const view = viewOf({
    'overlays/web': overlay(4096, '10.33.0.0/16', 'fd00:33::/48'),
    'overlays/app': overlay(4097, '10.34.0.0/16', 'fd00:33:0:8000::/49'),
    'overlays/sea': overlay(4098, '10.35.0.0/16', 'fd00:35::/48'),
  })
  assert.deepEqual(
    [...view.overlays.values()].map(({ name, vni, pool6 }) => [
      name,
      vni,
      pool6 && formatCidr6(pool6),
    ]),
    [
      ['web', 4096, 'fd00:33::/48'],
      ['app', 4097, null],
      ['sea', 4098, 'fd00:35::/48'],
    ],
  )
  assert.deepEqual(problemsOf(view), [
    'overlays/app: has the pool fd00:33:0:8000::/49, which overlaps that of the older overlay "web"',
  ])
})

test('whatever is leased, IPv6 subnets are disjoint, and no IPv4 subnet is lost by one', () => {
  const prefix6 = fc
    .tuple(fc.bigInt({ min: 0n, max: 31n }), fc.integer({ min: 56, max: 66 }))
    .map(([part, length]) => prefixOf6((0xfd00n << 112n) + (part << 64n), length))
  fc.assert(
    fc.property(fc.array(prefix6, { maxLength: 20 }), (prefixes) => {
      const keys = prefixes.map((each, at) => keyspace.subnet(prefixOf(0x0a20_0000 + at, 32), each))
      const view = parseView(
        keyspace,
        snapshotOf(Object.fromEntries(keys.map((key) => [key, docker]))),
      )
      assert.equal(view.subnets.size, prefixes.length)
      const kept: Cidr6[] = []
      for (const [at, lease] of [...view.subnets.values()].entries()) {
        const free = !kept.some((other) => overlaps6(other, prefixes[at]!))
        assert.equal(lease.ipv6 !== null, free)
        if (lease.ipv6) kept.push(lease.ipv6.subnet)
      }
      assert.equal(view.problems.length, prefixes.length - kept.length)
    }),
  )
})
