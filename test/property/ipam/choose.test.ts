import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import type { OverlayError } from '../../../src/errors.ts'
import { choosePool, lastBlock } from '../../../src/ipam/choose-pool.ts'
import { chooseSubnet6 } from '../../../src/ipam/choose-subnet6.ts'
import { chooseSubnet } from '../../../src/ipam/choose-subnet.ts'
import { chooseVni } from '../../../src/ipam/choose-vni.ts'
import { routeClash } from '../../../src/ipam/route-clash.ts'
import { containsCidr, formatCidr, overlaps, prefixOf, type Cidr } from '../../../src/net/cidr.ts'
import { formatCidr6, overlaps6, prefixOf6, type Cidr6 } from '../../../src/net/cidr6.ts'

const WITHIN = prefixOf(0x0a20_0000, 22)

/** Near and inside 10.32.0.0/22, of any length. */
const nearby = fc
  .tuple(fc.integer({ min: -1024, max: 2047 }), fc.integer({ min: 20, max: 32 }))
  .map(([offset, length]) => prefixOf(WITHIN.base + offset, length))
const taken = fc.array(nearby, { maxLength: 12 })

/** Every prefix of that length inside `within`, one after the other. */
function every(within: Cidr, length: number): Cidr[] {
  const size = 2 ** (32 - length)
  return Array.from({ length: 2 ** (length - within.length) }, (_, i) => ({
    base: within.base + i * size,
    length,
  }))
}

test('the chosen subnet is one that a look at each subnet in turn finds free, and none is missed', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 23, max: 28 }),
      fc.boolean(),
      taken,
      taken,
      fc.option(nearby),
      fc.tuple(fc.nat(1023), fc.nat(1023)),
      fc.double({ min: 0, max: 0.999_999, noNaN: true }),
      (length, skipFirstAndLast, taken, routes, preferred, [low, high], number) => {
        const all = every(WITHIN, length)
        const min = WITHIN.base + Math.min(low, high)
        const max = prefixOf(WITHIN.base + Math.max(low, high), length).base
        const allowed = (skipFirstAndLast ? all.slice(1, -1) : all).filter(
          ({ base }) => base >= min && base <= max,
        )
        const free = allowed.filter((cidr) => !taken.some((other) => overlaps(cidr, other)))
        const links = { routes: routes.map((to) => ({ to, dev: 'eth0' })), nameservers: [] }
        const clash = (cidr: Cidr): string | null => routeClash(cidr, links)
        const usable = free.filter((cidr) => clash(cidr) === null).map(formatCidr)
        const found = outcome(
          () =>
            chooseSubnet({
              within: WITHIN,
              length,
              skipFirstAndLast,
              min,
              max,
              taken,
              clash,
              preferred,
              random: () => number,
            }),
          formatCidr,
        )
        if (allowed.length === 0) assert.equal(found, 'bad_input')
        else if (free.length === 0) assert.equal(found, 'exhausted')
        else if (usable.length === 0) assert.equal(found, 'conflict')
        else if (preferred && usable.includes(formatCidr(preferred)))
          assert.equal(found, formatCidr(preferred))
        else assert.ok(usable.includes(found), `${found} is not one of ${usable.join(' ')}`)
      },
    ),
    { numRuns: 1000 },
  )
})

test('every free subnet can be chosen: the random number alone decides', () => {
  fc.assert(
    fc.property(taken, (taken) => {
      const free = every(WITHIN, 26).filter((cidr) => !taken.some((other) => overlaps(cidr, other)))
      const found = free.map((_, i) =>
        formatCidr(
          chooseSubnet({
            within: WITHIN,
            length: 26,
            skipFirstAndLast: false,
            taken,
            clash: () => null,
            random: () => (i + 0.5) / free.length,
          }),
        ),
      )
      assert.deepEqual(found, free.map(formatCidr))
    }),
  )
})

test('the chosen pool is the first that a look at each block in turn finds free, never the kept one', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 22, max: 28 }),
      fc.integer({ min: 22, max: 28 }),
      taken,
      taken,
      (length, keptLength, taken, routes) => {
        const kept = lastBlock(WITHIN, keptLength)
        assert.ok(containsCidr(WITHIN, kept))
        const usable = every(WITHIN, length).filter((cidr) => !overlaps(cidr, kept))
        const free = usable.filter((cidr) => !taken.some((other) => overlaps(cidr, other)))
        const links = { routes: routes.map((to) => ({ to, dev: 'eth0' })), nameservers: [] }
        const clash = (cidr: Cidr): string | null => routeClash(cidr, links)
        const found = outcome(
          () => choosePool({ network: WITHIN, length, kept, taken, clash }),
          formatCidr,
        )
        const first = free.find((cidr) => clash(cidr) === null)
        if (usable.length === 0) assert.equal(found, 'bad_input')
        else if (free.length === 0) assert.equal(found, 'exhausted')
        else assert.equal(found, first ? formatCidr(first) : 'conflict')
      },
    ),
    { numRuns: 1000 },
  )
})

test('the chosen VNI is unused, and all below it are used', () => {
  fc.assert(
    fc.property(fc.uniqueArray(fc.integer({ min: 4090, max: 4110 })), (list) => {
      const used = new Set(list)
      const vni = chooseVni(used)
      assert.ok(vni >= 4096 && !used.has(vni))
      for (let below = 4096; below < vni; below++) assert.ok(used.has(below))
    }),
  )
})

const WITHIN6 = prefixOf6(0xfd00_0095n << 96n, 54)

/** Near and inside fd00:95::/54, of any length. */
const nearby6 = fc
  .tuple(fc.bigInt({ min: -1024n, max: 2047n }), fc.integer({ min: 52, max: 70 }))
  .map(([offset, length]) => prefixOf6(WITHIN6.address + (offset << 64n), length))
const taken6 = fc.array(nearby6, { maxLength: 12 })

test('the chosen IPv6 subnet is the first from its number on that a look at each in turn finds usable', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 55, max: 60 }),
      fc.nat(100),
      taken6,
      taken6,
      (length, index, taken, clashing) => {
        const size = 1n << BigInt(128 - length)
        const count = 2 ** (length - WITHIN6.length)
        const all = Array.from({ length: count }, (_, slot): Cidr6 => {
          return { address: WITHIN6.address + BigInt(slot) * size, length }
        })
        const clash = (cidr: Cidr6): string | null =>
          clashing.some((other) => overlaps6(cidr, other)) ? 'clashes' : null
        const wanted = index % count
        const inTurn = [...all.slice(wanted), ...all.slice(0, wanted)].filter(
          (cidr) => cidr !== all[0],
        )
        const free = inTurn.filter((cidr) => !taken.some((other) => overlaps6(cidr, other)))
        const first = free.find((cidr) => clash(cidr) === null)
        const found = outcome(
          () => chooseSubnet6({ within: WITHIN6, length, index, taken, clash }),
          formatCidr6,
        )
        if (free.length === 0) assert.equal(found, 'exhausted')
        else assert.equal(found, first ? formatCidr6(first) : 'conflict')
      },
    ),
    { numRuns: 1000 },
  )
})

function outcome<Prefix>(choose: () => Prefix, format: (prefix: Prefix) => string): string {
  try {
    return format(choose())
  } catch (error) {
    return (error as OverlayError).code
  }
}
