import { formatCidr, parseCidr } from '../net/cidr.ts'
import { formatCidr6, parseCidr6 } from '../net/cidr6.ts'
import type { IpFamily } from '../net/ip.ts'
import { familyOfText, type AllowedFlow } from './host-state.ts'

/**
 * The bits of a prefix as text, as many as it is long: "0000101000100001" for 10.33.0.0/16. A prefix
 * lies inside another one when its bits begin with the other's, in either family.
 */
type Bits = string

/** A rectangle in the plane of sources and destinations, for one pair of links and one family. */
interface Area {
  readonly fromLink: string
  readonly toLink: string
  readonly family: IpFamily
  readonly from: Bits
  readonly to: Bits
}

/**
 * The same flows without overlaps and in a fixed order, as an interval set of the kernel demands
 * (nft_set_pipapo refuses an element whose first or last point another element holds).
 */
export function disjointFlows(flows: readonly AllowedFlow[]): AllowedFlow[] {
  const planes = Map.groupBy(flows, ({ fromLink, toLink, fromPrefix }) => {
    return `${fromLink} ${toLink} ${familyOfText(fromPrefix)}`
  })
  return [...planes.values()].flatMap(disjointAreas).sort(byText)
}

function disjointAreas(flows: readonly AllowedFlow[]): AllowedFlow[] {
  const kept: Area[] = []
  const widestFirst = flows.map(areaOf).sort((a, b) => lengths(a) - lengths(b))
  for (const area of widestFirst) {
    let pieces = [area]
    for (const other of kept) pieces = pieces.flatMap((piece) => without(piece, other))
    kept.push(...pieces)
  }
  return kept.map(flowOf)
}

function areaOf({ fromLink, toLink, fromPrefix, toPrefix }: AllowedFlow): Area {
  const family = familyOfText(fromPrefix)
  const [from, to] = [bitsOf(fromPrefix, family), bitsOf(toPrefix, family)]
  return { fromLink, toLink, family, from, to }
}

function flowOf({ fromLink, toLink, family, from, to }: Area): AllowedFlow {
  return {
    fromLink,
    toLink,
    fromPrefix: prefixOfBits(from, family),
    toPrefix: prefixOfBits(to, family),
  }
}

function bitsOf(prefix: string, family: IpFamily): Bits {
  if (family === 'ipv4') {
    const { base, length } = parseCidr(prefix)
    return base.toString(2).padStart(32, '0').slice(0, length)
  }
  const { address, length } = parseCidr6(prefix)
  return address.toString(2).padStart(128, '0').slice(0, length)
}

function prefixOfBits(bits: Bits, family: IpFamily): string {
  const { length } = bits
  return family === 'ipv4'
    ? formatCidr({ base: Number(`0b${bits.padEnd(32, '0')}`), length })
    : formatCidr6({ address: BigInt(`0b${bits.padEnd(128, '0')}`), length })
}

const lengths = ({ from, to }: Area): number => from.length + to.length

const overlap = (a: Bits, b: Bits): boolean => a.startsWith(b) || b.startsWith(a)

/** What of an area lies outside another one: a rectangle less a rectangle. */
function without(area: Area, hole: Area): Area[] {
  if (!overlap(area.from, hole.from) || !overlap(area.to, hole.to)) return [area]
  const common = hole.from.startsWith(area.from) ? hole.from : area.from
  return [
    ...complement(area.from, hole.from).map((from) => ({ ...area, from })),
    ...complement(area.to, hole.to).map((to) => ({ ...area, from: common, to })),
  ]
}

/** The prefixes that make up `outer` less `inner`, two prefixes of which one contains the other. */
function complement(outer: Bits, inner: Bits): Bits[] {
  const below = inner.slice(outer.length)
  return Array.from(below, (bit, index) => {
    const shared = inner.slice(0, outer.length + index)
    return shared + (bit === '0' ? '1' : '0')
  })
}

function byText(a: AllowedFlow, b: AllowedFlow): number {
  const left = Object.values(a).join(' ')
  const right = Object.values(b).join(' ')
  return left < right ? -1 : Number(left > right)
}
