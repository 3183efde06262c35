import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { parseCidr, prefixOf } from '../../../src/net/cidr.ts'
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
  assert.deepEqual(decodeSubnet(FLANNEL, parseCidr('10.5.34.0/24')), foreign)
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

test('a dual-stack flannel host is where its IPv4 subnet is', () => {
  assert.deepEqual(decodeSubnet(DUAL_STACK, parseCidr('10.5.34.0/24')), foreign)
})

test('a host whose tunnels are IPv6 has no PublicIP, in the words that flannel has for that', () => {
  const value = leaseValue({ publicIp: parseIpv6('fd00:18::96') })
  const text = encodeSubnet(value)
  assert.match(text, /^\{"PublicIP":"0\.0\.0\.0","PublicIPv6":"fd00:18::96","BackendType":"vxlan",/)
  assert.deepEqual(decodeSubnet(text, parseCidr('10.33.5.0/24')), value)
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
    mtu: fc.constantFrom(null, 576, 1450, 8950),
    networkId: fc.constantFrom(null, 'f'.repeat(64)),
  }
  const lease = fc.record(fields, { noNullPrototype: true })
  fc.assert(
    fc.property(lease, (value) => {
      assert.deepEqual(decodeSubnet(encodeSubnet(value), parseCidr('10.33.5.0/24')), value)
    }),
  )
})

test('the other records are read back as they were written', () => {
  const overlay = { vni: 4097, pool: parseCidr('10.33.0.0/16'), subnetLength: 24 }
  assert.deepEqual(decodeOverlay(encodeOverlay(overlay)), overlay)
  const routed = { vni: 4098, pool: null, subnetLength: null }
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
  const endpoint = { endpointId: 'e1', mac: '02:42:0a:20:05:02', name: null }
  assert.deepEqual(decodeEndpoint(encodeEndpoint(endpoint)), endpoint)
  assert.equal(decodeHolder(encodeHolder('host-a')), 'host-a')
  const prefixes = [parseCidr('172.17.0.0/16'), parseCidr('172.18.0.0/16')]
  assert.deepEqual(decodePrivatePrefixes(encodePrivatePrefixes(prefixes)), prefixes)
})

test('a wrong field is named with a pointer and a sentence', () => {
  const value = JSON.parse(encodeSubnet(leaseValue())) as Record<string, unknown>
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
    [{ MTU: 10 }, /^\/MTU: /],
  ]
  for (const [change, message] of cases) {
    assert.throws(
      () => decodeSubnet(JSON.stringify({ ...value, ...change }), parseCidr('10.33.5.0/24')),
      { code: 'bad_input', message },
    )
  }
})
