import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { parseCidr, prefixOf } from '../../../src/net/cidr.ts'
import { parseCidr6, prefixOf6 } from '../../../src/net/cidr6.ts'
import { formatMac } from '../../../src/net/mac.ts'
import { parseIpv4 } from '../../../src/net/ipv4.ts'
import { parseIpv6 } from '../../../src/net/ipv6.ts'
import {
  decodeEndpoint,
  decodeHolder,
  decodeHost,
  decodeOverlay,
  decodePrivatePrefixes,
  decodeSubnet,
  encodeEndpoint,
  encodeHolder,
  encodeHost,
  encodeOverlay,
  encodePrivatePrefixes,
  encodeSubnet,
} from '../../../src/store/records.ts'
import { leaseValue } from './view-support.ts'

/** As flannel's Go marshals it. */
const FLANNEL =
  '{"PublicIP":"192.168.64.3","PublicIPv6":null,"BackendType":"vxlan","BackendData":{"VNI":1,"VtepMAC":"c6:d2:32:6f:8f:44"}}'

const foreign = leaseValue({
  publicIp: parseIpv4('192.168.64.3'),
  vtepMac: 'c6:d2:32:6f:8f:44',
  vni: 1,
  hostId: null,
  overlay: null,
  kind: 'routed',
  pool: null,
  mtu: null,
})

test("a value without our fields is flannel's, byte for byte", () => {
  assert.equal(encodeSubnet(foreign), FLANNEL)
  assert.deepEqual(decodeSubnet(FLANNEL, parseCidr('10.5.34.0/24'), null), foreign)
})

test("our value begins with flannel's bytes and goes on with our fields", () => {
  assert.equal(
    encodeSubnet({ ...leaseValue(), publicIp: foreign.publicIp, networkId: '4d2' }),
    '{"PublicIP":"192.168.64.3","PublicIPv6":null,"BackendType":"vxlan","BackendData":{"VNI":4096,"VtepMAC":"02:11:22:33:44:55"},' +
      '"HostID":"host-a","Overlay":"web","Kind":"pooled","Pool":"10.33.0.0/16","MTU":1450,"NetworkID":"4d2"}',
  )
})

/** As flannel's Go marshals it on a host with both families, inside and outside. */
const DUAL_STACK =
  '{"PublicIP":"192.168.64.3","PublicIPv6":"2001:db8::3","BackendType":"vxlan","BackendData":{"VNI":1,"VtepMAC":"c6:d2:32:6f:8f:44"},"BackendV6Data":{"VNI":1,"VtepMAC":"fa:16:3e:00:00:01"}}'

test('a dual-stack flannel host is where its IPv4 subnet is, and its IPv6 subnet is left to flannel', () => {
  for (const subnet6 of [null, parseCidr6('fc00:0:0:1::/64')]) {
    assert.deepEqual(decodeSubnet(DUAL_STACK, parseCidr('10.5.34.0/24'), subnet6), foreign)
  }
})

const HALF = { subnet: parseCidr6('fd0d:cafe:1:5::/64'), pool: parseCidr6('fd0d:cafe:1::/48') }

test('a lease of both families names the IPv6 pool after the IPv4 one', () => {
  const value = leaseValue({ ipv6: HALF })
  const text = encodeSubnet(value)
  assert.match(text, /"Pool":"10\.33\.0\.0\/16","Pool6":"fd0d:cafe:1::\/48","MTU":1450/)
  assert.deepEqual(decodeSubnet(text, parseCidr('10.33.5.0/24'), HALF.subnet), value)
})

test('what has no IPv6 is written without a word of it', () => {
  const none = encodeSubnet(leaseValue())
  const routed = { kind: 'routed', pool: null } as const
  assert.ok(!none.includes('Pool6'))
  assert.equal(
    encodeSubnet(leaseValue({ ...routed, ipv6: { subnet: HALF.subnet, pool: null } })),
    encodeSubnet(leaseValue(routed)),
  )
  assert.equal(
    encodeOverlay({ vni: 4097, pool: parseCidr('10.33.0.0/16'), subnetLength: 24, pool6: null }),
    '{"VNI":4097,"Pool":"10.33.0.0/16","SubnetLen":24}',
  )
  assert.equal(
    encodeEndpoint({ endpointId: 'e1', mac: '02:42:0a:20:05:02', name: null, ipv6: null }),
    '{"EndpointID":"e1","MAC":"02:42:0a:20:05:02","Name":null}',
  )
})

test('of an IPv6 pool in a lease of IPv4 alone nothing is made', () => {
  const text = encodeSubnet(leaseValue({ ipv6: HALF }))
  assert.equal(decodeSubnet(text, parseCidr('10.33.5.0/24'), null).ipv6, null)
})

test('a host whose tunnels are IPv6 has no PublicIP, in the words that flannel has for that', () => {
  const value = leaseValue({ publicIp: parseIpv6('fd00:18::96') })
  const text = encodeSubnet(value)
  assert.match(text, /^\{"PublicIP":"0\.0\.0\.0","PublicIPv6":"fd00:18::96","BackendType":"vxlan",/)
  assert.deepEqual(decodeSubnet(text, parseCidr('10.33.5.0/24'), null), value)
})

test('every subnet value is read back as it was written', () => {
  const fields = {
    publicIp: fc.oneof(
      fc.integer({ min: 1, max: 0xffff_ffff }),
      fc.bigInt({ min: 1n, max: 2n ** 128n - 1n }),
    ),
    vtepMac: fc
      .uint8Array({ minLength: 6, maxLength: 6 })
      .map((bytes) => formatMac([(bytes[0]! & 0xfc) | 2, ...bytes.subarray(1)])),
    vni: fc.nat(0xff_ffff),
    hostId: fc.constant('host-a'),
    overlay: fc.constantFrom(null, 'web'),
    kind: fc.constantFrom('pooled' as const, 'routed' as const, 'docker' as const),
    pool: fc.integer({ min: 0, max: 24 }).map((length) => prefixOf(parseIpv4('10.33.5.0'), length)),
    ipv6: fc.option(
      fc.integer({ min: 0, max: 64 }).map((length) => ({
        subnet: HALF.subnet,
        pool: prefixOf6(HALF.subnet.address, length),
      })),
    ),
    mtu: fc.constantFrom(null, 576, 1450, 8950),
    networkId: fc.constantFrom(null, 'f'.repeat(64)),
  }
  const lease = fc.record(fields, { noNullPrototype: true })
  fc.assert(
    fc.property(lease, (value) => {
      const subnet = parseCidr('10.33.5.0/24')
      const subnet6 = value.ipv6?.subnet ?? null
      assert.deepEqual(decodeSubnet(encodeSubnet(value), subnet, subnet6), value)
    }),
  )
})

test('the other records are read back as they were written', () => {
  const overlay = { vni: 4097, pool: parseCidr('10.33.0.0/16'), subnetLength: 24, pool6: null }
  assert.deepEqual(decodeOverlay(encodeOverlay(overlay)), overlay)
  const overlay6 = { ...overlay, pool6: parseCidr6('fd0d:cafe:1::/48') }
  assert.deepEqual(decodeOverlay(encodeOverlay(overlay6)), overlay6)
  const routed = { vni: 4098, pool: null, subnetLength: null, pool6: null }
  assert.deepEqual(decodeOverlay(encodeOverlay(routed)), routed)
  const host = {
    hostname: 'node-1',
    instance: 'f00',
    publicIp: parseIpv4('172.18.10.96'),
    version: '0.1.0',
    mtu: 1450,
  }
  assert.deepEqual(decodeHost(encodeHost(host)), host)
  const host6 = { ...host, publicIp: parseIpv6('fd00:18::96') }
  assert.deepEqual(decodeHost(encodeHost(host6)), host6)
  const endpoint = { endpointId: 'e1', mac: '02:42:0a:20:05:02', name: null, ipv6: null }
  assert.deepEqual(decodeEndpoint(encodeEndpoint(endpoint)), endpoint)
  const endpoint6 = { ...endpoint, ipv6: parseIpv6('fd0d:cafe:1:5::2') }
  assert.deepEqual(decodeEndpoint(encodeEndpoint(endpoint6)), endpoint6)
  assert.equal(decodeHolder(encodeHolder('host-a')), 'host-a')
  const prefixes = [parseCidr('172.17.0.0/16'), parseCidr('172.18.0.0/16')]
  assert.deepEqual(decodePrivatePrefixes(encodePrivatePrefixes(prefixes)), prefixes)
})

test('a wrong field is named with a pointer and a sentence', () => {
  const value = JSON.parse(encodeSubnet(leaseValue({ ipv6: HALF }))) as Record<string, unknown>
  const cases: [Record<string, unknown>, RegExp][] = [
    [{ PublicIP: '300.1.1.1' }, /^\/PublicIP: "300\.1\.1\.1" is not an IPv4 address/],
    [{ PublicIP: undefined }, /^\/PublicIP: /],
    [{ PublicIP: '0.0.0.0' }, /^\/PublicIP: is 0\.0\.0\.0, and there is no PublicIPv6 either/],
    [{ PublicIP: 'fd00:18::96' }, /^\/PublicIP: "fd00:18::96" is not an IPv4 address/],
    [{ PublicIPv6: 'fe80::1%eth0' }, /^\/PublicIPv6: /],
    [{ BackendType: 'host-gw' }, /^\/BackendType: is another backend than "vxlan"/],
    [{ BackendData: null }, /^\/BackendData: /],
    [{ BackendData: { VNI: 2 ** 24, VtepMAC: '02:11:22:33:44:55' } }, /^\/BackendData\/VNI: /],
    [{ BackendData: { VNI: 1, VtepMAC: '01:11:22:33:44:55' } }, /^\/BackendData\/VtepMAC: is not/],
    [{ HostID: 'a/b' }, /^\/HostID: is not a host identity/],
    [{ Overlay: '-' }, /^\/Overlay: is not an overlay name/],
    [{ Kind: 'other' }, /^\/Kind: /],
    [{ Pool: null }, /^\/Pool: is missing/],
    [{ Pool: '10.34.0.0/16' }, /^\/Pool: does not contain 10\.33\.5\.0\/24/],
    [{ Pool: '10.33.0.1/16' }, /^\/Pool: .*bits beyond/],
    [{ Pool6: null }, /^\/Pool6: is missing, and a pooled IPv6 subnet has one/],
    [{ Pool6: 'fd0d:cafe:2::/48' }, /^\/Pool6: does not contain fd0d:cafe:1:5::\/64/],
    [{ Pool6: 'fd0d:cafe:1::1/48' }, /^\/Pool6: .*bits beyond/],
    [{ Pool6: '10.33.0.0/16' }, /^\/Pool6: "10\.33\.0\.0" is not an IPv6 address/],
    [{ MTU: 10 }, /^\/MTU: /],
  ]
  for (const [change, message] of cases) {
    assert.throws(
      () => {
        const text = JSON.stringify({ ...value, ...change })
        return decodeSubnet(text, parseCidr('10.33.5.0/24'), HALF.subnet)
      },
      { code: 'bad_input', message },
    )
  }
})

test('an overlay without a pool has no IPv6 pool either', () => {
  assert.throws(() => decodeOverlay('{"VNI":4097,"Pool6":"fd0d:cafe:1::/48"}'), {
    code: 'bad_input',
    message: /^\/Pool6: is of an overlay without a Pool/,
  })
})
