import fc from 'fast-check'
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { disjointFlows } from '../../../src/linux/disjoint-flows.ts'
import type { AllowedFlow } from '../../../src/linux/host-state.ts'
import { loadScript, renderIsolation, sameIsolation } from '../../../src/linux/isolation.ts'
import {
  containsIp,
  formatCidr,
  lastOf,
  parseCidr,
  prefixOf,
  type Cidr,
} from '../../../src/net/cidr.ts'
import { formatCidr6 } from '../../../src/net/cidr6.ts'
import { parseIpv6 } from '../../../src/net/ipv6.ts'
import { WEB, WEB_AND_APP } from './example-state.ts'

// Prefixes of a small world, so that they often nest and cross.
const prefix = fc
  .tuple(fc.nat(255), fc.integer({ min: 24, max: 32 }))
  .map(([last, length]) => formatCidr(prefixOf(0x0a000000 + last, length)))
const flow: fc.Arbitrary<AllowedFlow> = fc.record({
  fromLink: fc.constantFrom('ov-b1', 'ov-tun'),
  toLink: fc.constantFrom('ov-b1', 'ov-tun'),
  fromPrefix: prefix,
  toPrefix: prefix,
})
const flows = fc.array(flow, { maxLength: 8 })

/** The same world in the last bits of IPv6: "10.0.0.64/26" is "fd00::40/122". */
function inIpv6(flow: AllowedFlow): AllowedFlow {
  const prefix6 = (text: string): string => {
    const { base, length } = parseCidr(text)
    const address = parseIpv6('fd00::') + BigInt(base & 255)
    return formatCidr6({ address, length: length + 96 })
  }
  return { ...flow, fromPrefix: prefix6(flow.fromPrefix), toPrefix: prefix6(flow.toPrefix) }
}
const address = fc.nat(255).map((last) => 0x0a000000 + last)

/** The plain reading: how many flows hold a packet. */
function holders(
  list: readonly AllowedFlow[],
  like: AllowedFlow,
  from: number,
  to: number,
): number {
  return list.filter(
    ({ fromLink, toLink, fromPrefix, toPrefix }) =>
      fromLink === like.fromLink &&
      toLink === like.toLink &&
      containsIp(parseCidr(fromPrefix), from) &&
      containsIp(parseCidr(toPrefix), to),
  ).length
}

test('disjoint flows let through the same packets, each by one of them', () => {
  fc.assert(
    fc.property(flows, flow, address, address, (list, like, from, to) => {
      const expected = Math.min(1, holders(list, like, from, to))
      assert.equal(holders(disjointFlows(list), like, from, to), expected)
    }),
    { numRuns: 500 },
  )
})

test('flows of IPv6 are cut as those of IPv4 are, and neither family minds the other', () => {
  fc.assert(
    fc.property(flows, flows, (some, others) => {
      const byText = (list: readonly AllowedFlow[]): string[] =>
        list.map((flow) => Object.values(flow).join(' ')).sort()
      const alone = disjointFlows(some)
      const both = disjointFlows([...others.map(inIpv6), ...some])
      const isIpv6 = ({ fromPrefix }: AllowedFlow): boolean => fromPrefix.startsWith('fd00::')
      assert.deepEqual(byText(both.filter((flow) => !isIpv6(flow))), byText(alone))
      assert.deepEqual(byText(both.filter(isIpv6)), byText(disjointFlows(others).map(inIpv6)))
    }),
    { numRuns: 300 },
  )
})

test('the edges of each prefix belong to one disjoint flow as well', () => {
  const edges = (cidr: Cidr): number[] => [cidr.base, lastOf(cidr)]
  fc.assert(
    fc.property(flows, (list) => {
      const disjoint = disjointFlows(list)
      for (const like of list) {
        for (const from of edges(parseCidr(like.fromPrefix))) {
          for (const to of edges(parseCidr(like.toPrefix))) {
            assert.equal(holders(disjoint, like, from, to), 1)
          }
        }
      }
    }),
  )
})

test('the text does not depend on the order in which a state lists things', () => {
  const turned = {
    ...WEB_AND_APP,
    bridges: WEB_AND_APP.bridges.toReversed(),
    allowed: [...WEB_AND_APP.allowed, ...WEB_AND_APP.allowed].toReversed(),
  }
  assert.deepEqual(renderIsolation(turned), renderIsolation(WEB_AND_APP))
})

test('a table is the same only with its digest, all rules and all elements', () => {
  const rendered = renderIsolation(WEB)
  assert(sameIsolation({ ...rendered }, rendered))
  assert(!sameIsolation(null, rendered))
  assert(!sameIsolation({ ...rendered, digest: null }, rendered))
  assert(!sameIsolation({ ...rendered, rules: rendered.rules - 1 }, rendered))
  assert(!sameIsolation({ ...rendered, elements: rendered.elements + 1 }, rendered))
  assert.notEqual(renderIsolation(WEB_AND_APP).digest, rendered.digest)
})

test('an intact table is changed in place, a damaged one is made anew', () => {
  const rendered = renderIsolation(WEB)
  assert.match(loadScript(rendered, rendered), /^flush chain/)
  assert.match(loadScript(rendered, null), /^table inet overlay-ts\ndelete table inet overlay-ts\n/)
  assert.match(loadScript(rendered, { ...rendered, rules: 3 }), /^table .*\ndelete table/)
})
