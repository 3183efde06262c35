import { OverlayError } from '../errors.ts'
import { formatCidr, type Cidr } from '../net/cidr.ts'
import { countSlots, nthSlot, slotAt, type Run } from './free-slots.ts'

/** How many prefixes are put to the test at most: keeps a /8 of /30s within milliseconds. */
const MOST_TRIES = 4096

export interface UsableWish {
  readonly within: Cidr
  readonly length: number
  /** What is free; not empty. */
  readonly free: readonly Run[]
  /** Which of the free slots is tried first, counted from zero. */
  readonly start: number
  /** Why a prefix cannot be used on this host (`routeClash`), or null. */
  readonly clash: (candidate: Cidr) => string | null
  readonly noun: 'subnet' | 'pool'
}

/**
 * The first free prefix from `start` on, around the end, that does not clash. All are tried where there are few;
 * else the tries are spread evenly, so that a usable stretch of 1/4096 of what is free is found for certain.
 * @throws OverlayError conflict, with the last clash
 */
export function firstUsable({ within, length, free, start, clash, noun }: UsableWish): Cidr {
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
    `none of ${which} /${length} ${noun}s of ${formatCidr(within)} can be used on this host: ${reason}; free that prefix or choose another range with --subnet`,
  )
}
