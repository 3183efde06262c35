import { OverlayError } from '../errors.ts'
import { formatCidr, type Cidr } from '../net/cidr.ts'
import { firstUsable } from './first-usable.ts'
import { countSlots, freeRuns, slotAt, slotCount } from './free-slots.ts'

export interface PoolWish {
  /** The cluster's Network. */
  readonly network: Cidr
  readonly length: number
  /** The block that unnamed subnets come from (`lastBlock`), never given to an overlay. */
  readonly kept: Cidr
  /** Every pool, and every leased, held or claimed prefix of the cluster. */
  readonly taken: readonly Cidr[]
  /** Why a prefix cannot be used on this host (`routeClash`), or null. */
  readonly clash: (candidate: Cidr) => string | null
}

/** The last block of that length: where subnets without a pool come from. @throws OverlayError bad_input */
export function lastBlock(network: Cidr, poolLength: number): Cidr {
  return slotAt(network, poolLength, slotCount(network, poolLength) - 1)
}

/**
 * The pool of a new overlay: the lowest free block, so that pools sit side by side and the map is easy to read.
 * @throws OverlayError bad_input (no such block exists), exhausted (none free), conflict (all clash on this host)
 */
export function choosePool({ network, length, kept, taken, clash }: PoolWish): Cidr {
  if (kept.length === network.length) {
    throw new OverlayError(
      'bad_input',
      `a pool of POOL_LEN ${kept.length} is all of ${formatCidr(network)}, and one is kept for networks without a name; start overlay-ts with a longer POOL_LEN, or give a pool outside ${formatCidr(network)} with --subnet`,
    )
  }
  const all = { from: 0, to: slotCount(network, length) - 1 }
  const usable = countSlots(freeRuns(network, length, all, [kept]))
  if (usable === 0) {
    throw new OverlayError(
      'bad_input',
      `${formatCidr(network)} has no /${length} pool beside ${formatCidr(kept)}, which is kept for networks without a name; choose a longer --ipam-opt pool-len=, or give a pool outside ${formatCidr(network)} with --subnet`,
    )
  }
  const free = freeRuns(network, length, all, [kept, ...taken])
  const count = countSlots(free)
  if (count === 0) {
    throw new OverlayError(
      'exhausted',
      `${formatCidr(network)} has no free /${length} pool: ${usable} of ${usable} are taken; give one outside ${formatCidr(network)} with --subnet, or remove an overlay that is not needed (its networks on every host)`,
    )
  }
  return firstUsable({ within: network, length, slotAt, free, start: 0, clash, noun: 'pool' })
}
