import { formatCidr, parseCidr } from '../net/cidr.ts'
import { formatCidr6, parseCidr6 } from '../net/cidr6.ts'
import type { Ip, IpFamily } from '../net/ip.ts'
import { familyOfText, type AllowedFlow } from './host-state.ts'

/** A prefix of either family. */
interface Span {
  /** As many as the prefix is long: "0000101000100001" for 10.33.0.0/16. */
  readonly bits: string
  readonly first: Ip
  readonly last: Ip
}

/** A rectangle in the plane of sources and destinations, for one pair of links and one family. */
interface Area {
  readonly fromLink: string
  readonly toLink: string
  readonly family: IpFamily
  readonly from: Span
  readonly to: Span
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
    const holes = kept.filter((other) => doOverlap(area, other))
    let pieces = [area]
    for (const hole of holes) pieces = pieces.flatMap((piece) => without(piece, hole))
    kept.push(...pieces)
  }
  return kept.map(flowOf)
}

function areaOf({ fromLink, toLink, fromPrefix, toPrefix }: AllowedFlow): Area {
  const family = familyOfText(fromPrefix)
  const span = (prefix: string): Span => spanOf(bitsOf(prefix, family), family)
  return { fromLink, toLink, family, from: span(fromPrefix), to: span(toPrefix) }
}

function flowOf({ fromLink, toLink, family, from, to }: Area): AllowedFlow {
  return { fromLink, toLink, fromPrefix: textOf(from, family), toPrefix: textOf(to, family) }
}

function bitsOf(prefix: string, family: IpFamily): string {
  if (family === 'ipv4') {
    const { base, length } = parseCidr(prefix)
    return base.toString(2).padStart(32, '0').slice(0, length)
  }
  const { address, length } = parseCidr6(prefix)
  return address.toString(2).padStart(128, '0').slice(0, length)
}

function spanOf(bits: string, family: IpFamily): Span {
  const filled = (bit: '0' | '1'): Ip =>
    family === 'ipv4' ? Number(`0b${bits.padEnd(32, bit)}`) : BigInt(`0b${bits.padEnd(128, bit)}`)
  return { bits, first: filled('0'), last: filled('1') }
}

function textOf({ bits, first }: Span, family: IpFamily): string {
  const { length } = bits
  return family === 'ipv4'
    ? formatCidr({ base: Number(first), length })
    : formatCidr6({ address: BigInt(first), length })
}

const lengths = ({ from, to }: Area): number => from.bits.length + to.bits.length

const doOverlap = (a: Area, b: Area): boolean => doMeet(a.to, b.to) && doMeet(a.from, b.from)

/** Of two prefixes that do, one contains the other. */
const doMeet = (a: Span, b: Span): boolean => a.first <= b.last && b.first <= a.last

/** What of an area lies outside another one: a rectangle less a rectangle. */
function without(area: Area, hole: Area): Area[] {
  if (!doOverlap(area, hole)) return [area]
  const { family } = area
  const common = hole.from.bits.length > area.from.bits.length ? hole.from : area.from
  return [
    ...complement(area.from, hole.from, family).map((from) => ({ ...area, from })),
    ...complement(area.to, hole.to, family).map((to) => ({ ...area, from: common, to })),
  ]
}

/** The prefixes that make up `outer` less `inner`, two prefixes of which one contains the other. */
function complement(outer: Span, inner: Span, family: IpFamily): Span[] {
  const { length } = outer.bits
  return Array.from(inner.bits.slice(length), (bit, index) => {
    const shared = inner.bits.slice(0, length + index)
    return spanOf(shared + (bit === '0' ? '1' : '0'), family)
  })
}

function byText(a: AllowedFlow, b: AllowedFlow): number {
  const left = Object.values(a).join(' ')
  const right = Object.values(b).join(' ')
  return left < right ? -1 : Number(left > right)
}
