import { OverlayError } from '../errors.ts'
import type { Cidr } from '../net/cidr.ts'
import { formatSubnet, type Cidr6 } from '../net/cidr6.ts'
import { countSlots, nthSlot, type Run } from './free-slots.ts'

/** How many prefixes are put to the test at most: keeps a /8 of /30s within milliseconds. */
const MOST_TRIES = 4096

export interface UsableWish<Prefix extends Cidr | Cidr6> {
  readonly within: Prefix
  readonly length: number
  /** The prefix of that length in that slot of `within`. */
  readonly slotAt: (within: Prefix, length: number, slot: number) => Prefix
  /** What is free; not empty. */
  readonly free: readonly Run[]
  /** Which of the free slots is tried first, counted from zero. */
  readonly start: number
  /** Why a prefix cannot be used on this host (`routeClash`), or null. */
  readonly clash: (candidate: Prefix) => string | null
  readonly noun: 'subnet' | 'pool'
}

/**
 * The first free prefix from `start` on, around the end, that does not clash. All are tried where there are few;
 * else the tries are spread evenly, so that a usable stretch of 1/4096 of what is free is found for certain.
 * @throws OverlayError conflict, with the last clash
 */
export function firstUsable<Prefix extends Cidr | Cidr6>(wish: UsableWish<Prefix>): Prefix {
  const { within, length, slotAt, free, start, clash, noun } = wish
  const count = countSlots(free)
  const stride = Math.ceil(count / MOST_TRIES)
  const tries = Math.ceil(count / stride)
  let reason = ''
  for (let i = 0; i < tries; i++) {
    const candidate = slotAt(within, length, nthSlot(free, (start + i * stride) % count))
    const found = clash(candidate)
    if (found === null) return candidate
    reason = found
  }
  const which = tries === count ? `the ${count} free` : `${tries} tried of the ${count} free`
  throw new OverlayError(
    'conflict',
    `none of ${which} /${length} ${noun}s of ${formatSubnet(within)} can be used on this host: ${reason}; free that prefix or choose another range with --subnet`,
  )
}
