import { OverlayError } from '../errors.ts'
import { formatCidr6, type Cidr6 } from '../net/cidr6.ts'
import type { ClusterView } from '../store/cluster-view.ts'
import type { Publisher } from './subnet-value.ts'
import { ownerOf6, vtepInside6 } from './taken6.ts'

/** Who asks for an IPv6 prefix, and what this host cannot use. */
export interface Claimant6 extends Publisher {
  /** What inside the prefix this host must reach by its own network, or null. */
  readonly hazard: (candidate: Cidr6) => string | null
}

/** Of prefixes made of hashes, of which the first is free in any cluster that there will ever be. */
const MOST_TRIES = 100

/**
 * The first prefix by hash that is nobody's.
 * @param except the IPv4 subnet whose half is chosen, "10.33.5.0/24"
 * @throws OverlayError exhausted
 */
export function freePrefix6(
  made: (seed: string) => Cidr6,
  seed: string,
  view: ClusterView,
  except: string,
  by: Claimant6,
): Cidr6 {
  for (let n = 0; n < MOST_TRIES; n++) {
    const candidate = made(n === 0 ? seed : `${seed} ${n}`)
    const isFree = ownerOf6(view, candidate, except) === null
    if (isFree && cutOff6(view, candidate, by) === null) return candidate
  }
  throw new OverlayError(
    'exhausted',
    `none of ${MOST_TRIES} IPv6 prefixes that were tried is free; give one with --subnet, and name the overlay with --ipam-opt overlay=NAME`,
  )
}

/** Why containers cannot have the prefix on this host: a clause that names it; null when they can. */
export function cutOff6(view: ClusterView, prefix: Cidr6, by: Claimant6): string | null {
  const what = neededInside6(view, prefix, by)
  return what && `${formatCidr6(prefix)} cannot be used for containers: it contains ${what}`
}

/** Names what the underlay needs to reach and the prefix would hide, or null. */
export const neededInside6 = (view: ClusterView, prefix: Cidr6, by: Claimant6): string | null =>
  by.hazard(prefix) ?? vtepInside6(view, prefix)
