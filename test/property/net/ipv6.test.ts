import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import {
  containsCidr6,
  containsIp6,
  formatCidr6,
  formatInterfaceAddress6,
  lastOf6,
  overlaps6,
  parseCidr6,
  parseInterfaceAddress6,
  prefixOf6,
  sameCidr6,
  type Cidr6,
} from '../../../src/net/cidr6.ts'
import { formatIpv6, ipv6Bytes, parseIpv6 } from '../../../src/net/ipv6.ts'

/** Mostly zero groups, so that runs of them meet and compete. */
const group = fc.oneof(fc.constant(0), fc.constant(0), fc.nat(0xffff))
const groups = fc.array(group, { minLength: 8, maxLength: 8 })
const valueOf = (groups: readonly number[]): bigint =>
  groups.reduce((sum, group) => (sum << 16n) | BigInt(group), 0n)
const ip = groups.map(valueOf)
const length = fc.nat(128)

test('an address survives being written and read', () => {
  fc.assert(fc.property(ip, (ip) => assert.equal(parseIpv6(formatIpv6(ip)), ip)))
})

test('an address is written as URLs write it, which is RFC 5952, but for IPv4 within IPv6', () => {
  fc.assert(
    fc.property(ip, (ip) => {
      fc.pre(ip >> 32n !== 0xffffn)
      assert.equal(`[${formatIpv6(ip)}]`, new URL(`http://[${formatIpv6(ip)}]/`).hostname)
    }),
    { numRuns: 1000 },
  )
})

test('every spelling is read as the address that it spells', () => {
  const spelled = fc
    .tuple(groups, fc.nat(8), fc.nat(8), fc.boolean(), fc.boolean())
    .map(([groups, from, to, upper, padded]) => {
      const [begin, end] = [Math.min(from, to), Math.max(from, to)]
      const digits = (part: readonly number[]): string =>
        part.map((n) => n.toString(16).padStart(padded ? 4 : 1, '0')).join(':')
      const zeroed = groups.map((group, index) => (index >= begin && index < end ? 0 : group))
      const text =
        begin === end
          ? digits(zeroed)
          : `${digits(zeroed.slice(0, begin))}::${digits(zeroed.slice(end))}`
      return { text: upper ? text.toUpperCase() : text, value: valueOf(zeroed) }
    })
  fc.assert(fc.property(spelled, ({ text, value }) => assert.equal(parseIpv6(text), value)))
})

test('the bytes are those of the number', () => {
  fc.assert(
    fc.property(ip, (ip) => {
      assert.equal(BigInt(`0x${Buffer.from(ipv6Bytes(ip)).toString('hex')}`), ip)
    }),
  )
})

test('a prefix survives being written and read, and holds what its span holds', () => {
  fc.assert(
    fc.property(ip, length, ip, fc.nat(255), (base, length, other, near) => {
      const cidr = prefixOf6(base, length)
      assert.deepEqual(parseCidr6(formatCidr6(cidr)), cidr)
      const size = 2n ** BigInt(128 - length)
      for (const candidate of [
        base,
        other,
        base ^ BigInt(near),
        base ^ (1n << BigInt(near % 128)),
      ]) {
        const held = cidr.address <= candidate && candidate < cidr.address + size
        assert.equal(containsIp6(cidr, candidate), held)
      }
    }),
  )
})

test('an interface address survives being written and read', () => {
  fc.assert(
    fc.property(ip, length, (ip, length) => {
      assert.deepEqual(parseInterfaceAddress6(formatInterfaceAddress6({ ip, length })), {
        ip,
        length,
      })
    }),
  )
})

/** Mostly near one another, so that containment and overlap happen. */
const neighbour = fc
  .tuple(fc.bigInt({ min: 0n, max: 0xffn }), fc.integer({ min: 56, max: 68 }))
  .map(([part, length]) => prefixOf6((0xfd00n << 112n) + (part << 60n), length))
const prefix = fc.oneof(
  neighbour,
  fc.tuple(ip, length).map(([ip, length]) => prefixOf6(ip, length)),
)

/** The definition: the first and the last of the addresses. */
const span = ({ address, length }: Cidr6): [bigint, bigint] => [
  address,
  address + 2n ** BigInt(128 - length) - 1n,
]

test('containment and overlap are those of the spanned integers', () => {
  fc.assert(
    fc.property(prefix, prefix, (a, b) => {
      const [aFrom, aTo] = span(a)
      const [bFrom, bTo] = span(b)
      assert.equal(lastOf6(a), aTo)
      assert.equal(containsCidr6(a, b), aFrom <= bFrom && bTo <= aTo)
      assert.equal(overlaps6(a, b), aFrom <= bTo && bFrom <= aTo)
      assert.equal(sameCidr6(a, b), aFrom === bFrom && aTo === bTo)
    }),
    { numRuns: 1000 },
  )
})
