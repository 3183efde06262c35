import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { buildSubnetMap, NO_ENTRY, SubnetMap } from '../../../src/datapath/subnet-map.ts'
import type { ForwardingTables, RemoteSubnet } from '../../../src/datapath/tables.ts'
import { type Cidr, formatCidr, lastOf, prefixOf } from '../../../src/net/cidr.ts'
import { formatMac, type Mac } from '../../../src/net/mac.ts'
import { naiveLookup } from '../../support/naive-subnet-map.ts'

/** Few different high bits, so that prefixes nest and neighbour. */
const ip = fc
  .tuple(fc.constantFrom(10, 11, 172, 255, 0), fc.nat(2), fc.nat(255), fc.nat(255))
  .map(([a, b, c, d]) => a * 2 ** 24 + b * 2 ** 16 + c * 256 + d)
const cidr = fc.tuple(ip, fc.integer({ min: 0, max: 32 })).map(([a, n]) => prefixOf(a, n))
const mac: fc.Arbitrary<Mac> = fc.uint8Array({ minLength: 6, maxLength: 6 }).map(formatMac)
const vni = fc.integer({ min: 1, max: 0xff_ffff })
const remote: fc.Arbitrary<RemoteSubnet> = fc.record({
  subnet: cidr,
  vni,
  publicIp: fc.integer({ min: 1, max: 0xffff_ffff }),
  vtepMac: mac,
  mtu: fc.integer({ min: 576, max: 9000 }),
})

const tables: fc.Arbitrary<ForwardingTables> = fc
  .record({
    vtepMac: mac,
    local: fc.array(fc.record({ subnet: cidr, vni })),
    remote: fc.array(remote, { maxLength: 40 }),
  })
  .map(({ vtepMac, local, remote }) => {
    const seen = new Set<string>()
    const isNew = ({ subnet }: { subnet: Cidr }): boolean => {
      const key = formatCidr(subnet)
      return !seen.has(key) && Boolean(seen.add(key))
    }
    return { vtepMac, local: local.filter(isNew), remote: remote.filter(isNew) }
  })

function macAt(map: SubnetMap, at: number): Mac {
  return formatMac(map.bytes.slice(at, at + 6))
}

test('every address is found as a linear scan finds it', () => {
  fc.assert(
    fc.property(tables, fc.array(ip), (tables, others) => {
      const map = new SubnetMap(buildSubnetMap(tables))
      const edges = [...tables.local, ...tables.remote].flatMap(({ subnet }) => [
        subnet.base,
        lastOf(subnet),
        Math.max(0, subnet.base - 1),
        Math.min(0xffff_ffff, lastOf(subnet) + 1),
      ])
      for (const address of [...edges, ...others]) {
        const expected = naiveLookup(tables, address)
        const entry = map.lookup(address)
        if (!expected) {
          assert.equal(entry, NO_ENTRY)
          continue
        }
        assert.equal(map.vni(entry), expected.vni)
        assert.equal(map.isLocal(entry), !('publicIp' in expected))
        if (!('publicIp' in expected)) continue
        assert.equal(map.publicIp(entry), expected.publicIp)
        assert.equal(map.mtu(entry), expected.mtu)
        assert.equal(macAt(map, map.macAt(entry)), expected.vtepMac)
      }
      assert.equal(macAt(map, map.ownMacAt), tables.vtepMac)
    }),
    { numRuns: 300 },
  )
})

test('peers and VNIs are known exactly when some subnet has them', () => {
  fc.assert(
    fc.property(tables, fc.array(fc.nat(0xffff_ffff)), (tables, others) => {
      const map = new SubnetMap(buildSubnetMap(tables))
      const peers = new Set(tables.remote.map(({ publicIp }) => publicIp))
      const vnis = new Set(tables.local.map(({ vni }) => vni))
      for (const value of [...peers, ...vnis, ...others]) {
        assert.equal(map.knowsPeer(value), peers.has(value))
        assert.equal(map.knowsVni(value), vnis.has(value))
      }
    }),
  )
})

test('65,536 subnets are laid out within a second and 4 MB', () => {
  const remote = Array.from({ length: 65_536 }, (_, index) => ({
    subnet: { base: 10 * 2 ** 24 + index * 256, length: 24 },
    vni: 7,
    publicIp: 0xac10_0000 + (index % 4096) + 1,
    vtepMac: '02:00:00:00:00:01',
    mtu: 1450,
  }))
  const began = performance.now()
  const buffer = buildSubnetMap({ vtepMac: '02:00:00:00:00:02', local: [], remote })
  assert.ok(performance.now() - began < 1000)
  assert.ok(buffer.byteLength <= 4 * 2 ** 20)
  const map = new SubnetMap(buffer)
  assert.equal(map.publicIp(map.lookup(0x0aff_ff01)), 0xac10_0000 + 4096)
})
