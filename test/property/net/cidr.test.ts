import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import {
  compareCidr,
  containsCidr,
  containsIp,
  formatCidr,
  lastOf,
  overlaps,
  parseCidr,
  parseInterfaceAddress,
  prefixOf,
  type Cidr,
} from '../../../src/net/cidr.ts'
import { formatIpv4, parseIpv4 } from '../../../src/net/ipv4.ts'
import { formatMac, macBytes, parseMac } from '../../../src/net/mac.ts'

const ip = fc.nat(0xffff_ffff)
const length = fc.nat(32)
const cidr = fc.tuple(ip, length).map(([ip, length]) => prefixOf(ip, length))
/** Mostly near one another, so that containment and overlap happen. */
const neighbour = fc
  .tuple(fc.nat(0xffff), fc.integer({ min: 16, max: 32 }))
  .map(([low, length]) => prefixOf(0xac10_0000 + low, length))
const anyCidr = fc.oneof(cidr, neighbour)

/** The definition, in exact integers: no masks, no 32-bit operators. */
const spans = (cidr: Cidr): [bigint, bigint] => {
  const size = 2n ** BigInt(32 - cidr.length)
  const from = (BigInt(cidr.base) / size) * size
  return [from, from + size - 1n]
}

test('an address survives being written and read', () => {
  fc.assert(fc.property(ip, (ip) => parseIpv4(formatIpv4(ip)) === ip))
})

test('a prefix survives being written and read', () => {
  fc.assert(fc.property(anyCidr, (cidr) => assert.deepEqual(parseCidr(formatCidr(cidr)), cidr)))
})

test('containment and overlap are those of the spanned integers', () => {
  fc.assert(
    fc.property(anyCidr, anyCidr, ip, (a, b, ip) => {
      const [aFrom, aTo] = spans(a)
      const [bFrom, bTo] = spans(b)
      assert.equal(BigInt(a.base), aFrom)
      assert.equal(BigInt(lastOf(a)), aTo)
      assert.equal(containsIp(a, ip), aFrom <= BigInt(ip) && BigInt(ip) <= aTo)
      assert.equal(containsCidr(a, b), aFrom <= bFrom && bTo <= aTo)
      assert.equal(overlaps(a, b), aFrom <= bTo && bFrom <= aTo)
      assert.equal(Math.sign(compareCidr(a, b)), -Math.sign(compareCidr(b, a)) + 0)
    }),
    { numRuns: 1000 },
  )
})

test('text that reads as a prefix is the one spelling of that prefix', () => {
  const digits = fc.string({
    unit: fc.constantFrom(...'0123456789./ x'.split('')),
    minLength: 7,
    maxLength: 18,
  })
  const near = fc.tuple(fc.array(fc.nat(300), { minLength: 3, maxLength: 5 }), fc.nat(40))
  const spelling = near.map(([parts, length]) => `${parts.join('.')}/${length}`)
  const padded = anyCidr.map((cidr) => formatCidr(cidr).replace(/\d+/, (part) => `0${part}`))
  fc.assert(
    fc.property(fc.oneof(digits, spelling, padded), (text) => {
      const read = readOrNull(text)
      if (read !== null) assert.equal(formatCidr(read), text)
    }),
    { numRuns: 1000 },
  )
})

test('any six bytes survive being written and read as a MAC address', () => {
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 6, maxLength: 6 }), (bytes) => {
      assert.deepEqual(macBytes(parseMac(formatMac(bytes).toUpperCase())), bytes)
    }),
  )
})

function readOrNull(text: string): Cidr | null {
  try {
    const { ip, length } = parseInterfaceAddress(text)
    return { base: ip, length }
  } catch {
    return null
  }
}
