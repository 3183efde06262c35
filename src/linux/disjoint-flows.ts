import {
  containsCidr,
  formatCidr,
  overlaps,
  parseCidr,
  prefixOf,
  sizeOf,
  type Cidr,
} from '../net/cidr.ts'
import type { AllowedFlow } from './host-state.ts'

/** A rectangle in the plane of sources and destinations, for one pair of links. */
interface Area {
  readonly fromLink: string
  readonly toLink: string
  readonly from: Cidr
  readonly to: Cidr
}

/**
 * The same flows without overlaps and in a fixed order, as an interval set of the kernel demands
 * (nft_set_pipapo refuses an element whose first or last point another element holds).
 */
export function disjointFlows(flows: readonly AllowedFlow[]): AllowedFlow[] {
  const byLinks = Map.groupBy(flows, ({ fromLink, toLink }) => `${fromLink} ${toLink}`)
  return [...byLinks.values()].flatMap(disjointAreas).sort(byText)
}

function disjointAreas(flows: readonly AllowedFlow[]): AllowedFlow[] {
  const kept: Area[] = []
  const widestFirst = flows.map(areaOf).sort((a, b) => bits(a) - bits(b))
  for (const area of widestFirst) {
    let pieces = [area]
    for (const other of kept) pieces = pieces.flatMap((piece) => without(piece, other))
    kept.push(...pieces)
  }
  return kept.map(({ from, to, fromLink, toLink }) => {
    return { fromLink, toLink, fromPrefix: formatCidr(from), toPrefix: formatCidr(to) }
  })
}

const areaOf = ({ fromLink, toLink, fromPrefix, toPrefix }: AllowedFlow): Area => {
  return { fromLink, toLink, from: parseCidr(fromPrefix), to: parseCidr(toPrefix) }
}

const bits = ({ from, to }: Area): number => from.length + to.length

/** What of an area lies outside another one: a rectangle less a rectangle. */
function without(area: Area, hole: Area): Area[] {
  if (!overlaps(area.from, hole.from) || !overlaps(area.to, hole.to)) return [area]
  const common = containsCidr(area.from, hole.from) ? hole.from : area.from
  return [
    ...complement(area.from, hole.from).map((from) => ({ ...area, from })),
    ...complement(area.to, hole.to).map((to) => ({ ...area, from: common, to })),
  ]
}

/** The prefixes that make up `outer` less `inner`, two prefixes of which one contains the other. */
function complement(outer: Cidr, inner: Cidr): Cidr[] {
  const lengths = Array.from(
    { length: Math.max(0, inner.length - outer.length) },
    (_, index) => outer.length + index + 1,
  )
  return lengths.map((length) => sibling(prefixOf(inner.base, length)))
}

const sibling = ({ base, length }: Cidr): Cidr => {
  return { base: (base ^ sizeOf({ base, length })) >>> 0, length }
}

function byText(a: AllowedFlow, b: AllowedFlow): number {
  const left = Object.values(a).join(' ')
  const right = Object.values(b).join(' ')
  return left < right ? -1 : Number(left > right)
}
