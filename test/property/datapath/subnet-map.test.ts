import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { buildSubnetMap } from '../../../src/datapath/build-subnet-map.ts'
import * as abi from '../../../src/datapath/socket-abi.ts'
import { NO_ENTRY, NO_PEER, SubnetMap } from '../../../src/datapath/subnet-map.ts'
import type { ForwardingTables, RemoteSubnet } from '../../../src/datapath/tables.ts'
import { lastOf, prefixOf } from '../../../src/net/cidr.ts'
import { formatSubnet, isCidr6, prefixOf6 } from '../../../src/net/cidr6.ts'
import type { Ipv4 } from '../../../src/net/ipv4.ts'
import { type Ipv6, ipv6Bytes } from '../../../src/net/ipv6.ts'
import { formatMac, type Mac } from '../../../src/net/mac.ts'
import { loadInt32 } from '../../../src/packet/bytes.ts'
import { naiveLookup } from '../../support/naive-subnet-map.ts'

/** Few different high bits, so that prefixes nest and neighbour. */
const ipv4 = fc
  .tuple(fc.constantFrom(10, 11, 172, 255, 0), fc.nat(2), fc.nat(255), fc.nat(255))
  .map(([a, b, c, d]) => a * 2 ** 24 + b * 2 ** 16 + c * 256 + d)
const ipv6 = fc
  .tuple(
    fc.constantFrom(0xfdn << 120n, 0xfd00_0001n << 96n, 0n, 0xffn << 120n, 1n << 127n),
    fc.constantFrom(0n, 1n << 64n, 1n << 63n, 0xffff_ffffn << 32n),
    fc.bigInt({ min: 0n, max: 0xffn }),
  )
  .map(([high, middle, low]) => high | middle | low)
const address = fc.oneof(ipv4, ipv6)
const cidr4 = fc.tuple(ipv4, fc.integer({ min: 0, max: 32 })).map(([a, n]) => prefixOf(a, n))
const cidr6 = fc.tuple(ipv6, fc.integer({ min: 0, max: 128 })).map(([a, n]) => prefixOf6(a, n))
const subnet = fc.oneof(cidr4, cidr6)
const mac: fc.Arbitrary<Mac> = fc.uint8Array({ minLength: 6, maxLength: 6 }).map(formatMac)
const vni = fc.integer({ min: 1, max: 0xff_ffff })
const publicIp = fc.oneof(
  fc.integer({ min: 1, max: 0xffff_ffff }),
  fc.bigInt({ min: 1n, max: 2n ** 128n - 1n }),
  // The same bits in both families.
  fc.constantFrom<Ipv4 | Ipv6>(0x0a00_0001, 0x0a00_0001n << 96n),
)
const remote: fc.Arbitrary<RemoteSubnet> = fc.record({
  subnet,
  vni,
  publicIp,
  vtepMac: mac,
  mtu: fc.integer({ min: 576, max: 9000 }),
})

const tables: fc.Arbitrary<ForwardingTables> = fc
  .record({
    vtepMac: mac,
    local: fc.array(fc.record({ subnet, vni })),
    remote: fc.array(remote, { maxLength: 40 }),
  })
  .map(({ vtepMac, local, remote }) => {
    const seen = new Set<string>()
    const isNew = ({ subnet }: Pick<RemoteSubnet, 'subnet'>): boolean => {
      const key = formatSubnet(subnet)
      return !seen.has(key) && Boolean(seen.add(key))
    }
    return { vtepMac, local: local.filter(isNew), remote: remote.filter(isNew) }
  })

function macAt(map: SubnetMap, at: number): Mac {
  return formatMac(map.bytes.slice(at, at + 6))
}

/** At an odd offset, as addresses lie in packets. */
function lookup(map: SubnetMap, ip: Ipv4 | Ipv6): number {
  if (typeof ip === 'number') return map.lookup(ip)
  return map.lookup6(Uint8Array.of(0xff, ...ipv6Bytes(ip), 0xff), 1)
}

function peerOf(map: SubnetMap, ip: Ipv4 | Ipv6): number {
  if (typeof ip === 'number') return map.peerOf(ip)
  return map.peerOf6(Uint8Array.of(0xff, ...ipv6Bytes(ip), 0xff), 1)
}

/** Both ends of a subnet and their neighbours outside. */
function edgesOf(subnet: RemoteSubnet['subnet']): (Ipv4 | Ipv6)[] {
  if (isCidr6(subnet)) {
    const last = subnet.address + 2n ** BigInt(128 - subnet.length) - 1n
    const edges = [subnet.address, last, subnet.address - 1n, last + 1n]
    return edges.filter((ip) => ip >= 0n && ip < 2n ** 128n)
  }
  const last = lastOf(subnet)
  const edges = [subnet.base, last, subnet.base - 1, last + 1]
  return edges.filter((ip) => ip >= 0 && ip <= 0xffff_ffff)
}

test('every address is found as a linear scan finds it', () => {
  fc.assert(
    fc.property(tables, fc.array(address), (tables, others) => {
      const map = new SubnetMap(buildSubnetMap(tables))
      const edges = [...tables.local, ...tables.remote].flatMap(({ subnet }) => edgesOf(subnet))
      for (const ip of [...edges, ...others]) {
        const expected = naiveLookup(tables, ip)
        const entry = lookup(map, ip)
        if (!expected) {
          assert.equal(entry, NO_ENTRY)
          continue
        }
        assert.equal(map.vni(entry), expected.vni)
        assert.equal(map.isLocal(entry), !('publicIp' in expected))
        if (!('publicIp' in expected)) {
          assert.equal(map.peer(entry), NO_PEER)
          continue
        }
        assert.equal(map.addressOf(map.peer(entry)), expected.publicIp)
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
    fc.property(
      tables,
      fc.array(publicIp),
      fc.array(fc.nat(0xff_ffff)),
      (tables, addresses, numbers) => {
        const map = new SubnetMap(buildSubnetMap(tables))
        const peers = new Set(tables.remote.map(({ publicIp }) => publicIp))
        assert.equal(map.peerCount, peers.size)
        for (const ip of [...peers, ...addresses]) {
          const peer = peerOf(map, ip)
          assert.equal(peer !== NO_PEER, peers.has(ip))
          if (peer !== NO_PEER) assert.equal(map.addressOf(peer), ip)
        }
        const vnis = new Set(tables.local.map(({ vni }) => vni))
        for (const value of [...vnis, ...numbers]) {
          assert.equal(map.knowsVni(value), vnis.has(value))
        }
      },
    ),
  )
})

test('a peer has the kernel’s form of its address', () => {
  fc.assert(
    fc.property(tables, (tables) => {
      const map = new SubnetMap(buildSubnetMap(tables))
      for (const ip of new Set(tables.remote.map(({ publicIp }) => publicIp))) {
        const words = new Uint32Array(8)
        const bytes = new Uint8Array(words.buffer)
        const length = map.copySockaddr(peerOf(map, ip), words, 1)
        if (typeof ip === 'number') {
          assert.equal(length, 16)
          assert.equal(bytes[4], abi.AF_INET)
          assert.equal(loadInt32(bytes, 4 + abi.SOCKADDR_IP) >>> 0, ip)
        } else {
          assert.equal(length, 28)
          assert.equal(bytes[4], abi.AF_INET6)
          assert.deepEqual(bytes.slice(4 + abi.SOCKADDR_IP6, 4 + 24), ipv6Bytes(ip))
        }
        assert.equal(map.isIpv6(peerOf(map, ip)), typeof ip === 'bigint')
      }
    }),
  )
})
