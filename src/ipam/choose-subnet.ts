import { OverlayError } from '../errors.ts'
import { formatCidr, type Cidr } from '../net/cidr.ts'
import type { Ipv4 } from '../net/ipv4.ts'
import { firstUsable } from './first-usable.ts'
import { countSlots, freeRuns, slotAt, slotCount, slotOf, type Run } from './free-slots.ts'

export interface SubnetWish {
  /** The pool of the overlay, or the block kept for unnamed subnets. */
  readonly within: Cidr
  readonly length: number
  /** A pool's own first and last address must belong to no container. */
  readonly skipFirstAndLast: boolean
  /** Base of the first and of the last subnet that may be chosen: flannel's SubnetMin and SubnetMax. */
  readonly min?: Ipv4
  readonly max?: Ipv4
  /** Every prefix that another holds in the cluster (leased, claimed, awaited), of any length. */
  readonly taken: readonly Cidr[]
  /** Why a prefix cannot be used on this host (`routeClash`), or null. */
  readonly clash: (candidate: Cidr) => string | null
  /** The subnet this host had before. */
  readonly preferred?: Cidr | null
  /** A number from 0 up to but excluding 1: Math.random, or a test's. */
  readonly random: () => number
}

/**
 * The subnet to lease: the preferred one if it is free and fits, else a random free one, so that two hosts
 * choosing at the same moment rarely want the same.
 * @throws OverlayError bad_input (no such subnet exists), exhausted (none free), conflict (all clash on this host)
 */
export function chooseSubnet(wish: SubnetWish): Cidr {
  const { within, length, taken, clash, random } = wish
  const range = allowedSlots(wish)
  const free = freeRuns(within, length, range, taken)
  const count = countSlots(free)
  if (count === 0) throw noneFree(within, length, countSlots([range]))

  const held = wish.preferred
  if (held && isAmong(free, within, length, held) && clash(held) === null) return held

  const start = Math.min(Math.floor(random() * count), count - 1)
  return firstUsable({ within, length, slotAt, free, start, clash, noun: 'subnet' })
}

function allowedSlots({ within, length, skipFirstAndLast, min, max }: SubnetWish): Run {
  const count = slotCount(within, length)
  const edge = skipFirstAndLast ? 1 : 0
  const size = 2 ** (32 - length)
  const from = min === undefined ? 0 : Math.ceil((min - within.base) / size)
  const to = max === undefined ? count : slotOf(within, length, max)
  const range = { from: Math.max(edge, from), to: Math.min(count - 1 - edge, to) }
  if (range.from <= range.to) return range
  const why =
    skipFirstAndLast && count <= 2
      ? 'the first and the last are never leased'
      : 'the limits leave none'
  throw new OverlayError(
    'bad_input',
    `${formatCidr(within)} has no /${length} subnet to lease: ${why}; choose a larger pool or a longer subnet length`,
  )
}

function isAmong(free: readonly Run[], within: Cidr, length: number, cidr: Cidr): boolean {
  if (cidr.length !== length) return false
  const slot = slotOf(within, length, cidr.base)
  if (slotAt(within, length, slot).base !== cidr.base) return false
  return free.some(({ from, to }) => from <= slot && slot <= to)
}

function noneFree(within: Cidr, length: number, count: number): OverlayError {
  return new OverlayError(
    'exhausted',
    `${formatCidr(within)} has no free /${length} subnet: ${count} of ${count} are taken; remove networks that their hosts do not need, or make a new overlay with more room: --ipam-driver overlay-ts --ipam-opt overlay=NAME with a larger --subnet, a shorter --ipam-opt pool-len= or a longer --ipam-opt subnet-len=`,
  )
}
