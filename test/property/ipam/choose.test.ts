import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import type { OverlayError } from '../../../src/errors.ts'
import { choosePool, lastBlock } from '../../../src/ipam/choose-pool.ts'
import { chooseSubnet } from '../../../src/ipam/choose-subnet.ts'
import { chooseVni } from '../../../src/ipam/choose-vni.ts'
import { routeClash } from '../../../src/ipam/route-clash.ts'
import { containsCidr, formatCidr, overlaps, prefixOf, type Cidr } from '../../../src/net/cidr.ts'

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
        const found = outcome(() =>
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
        const found = outcome(() => choosePool({ network: WITHIN, length, kept, taken, clash }))
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

function outcome(choose: () => Cidr): string {
  try {
    return formatCidr(choose())
  } catch (error) {
    return (error as OverlayError).code
  }
}
