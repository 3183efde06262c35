import { lastOf6, overlaps6, type Cidr6 } from '../net/cidr6.ts'
import type { Ipv6 } from '../net/ipv6.ts'
import { runsBetween, type Run } from './free-slots.ts'

/**
 * Slots of an IPv6 pool are counted as those of an IPv4 one: slot 5 of fd00:32::/48 in /64s is fd00:32:0:5::/64.
 * There are at most 2^48 (`subnetLength6`), which a number holds.
 */
export function slotAt6(within: Cidr6, length: number, slot: number): Cidr6 {
  return { address: within.address + (BigInt(slot) << BigInt(128 - length)), length }
}

/** The slot that holds the address; of one beyond the pool a slot that there is not. */
function slotOf6(within: Cidr6, length: number, ip: Ipv6): number {
  return Number((ip - within.address) >> BigInt(128 - length))
}

/** The slots of `range` that no prefix of `taken` touches, ascending (`freeRuns`). */
export function freeRuns6(
  within: Cidr6,
  length: number,
  range: Run,
  taken: readonly Cidr6[],
): readonly Run[] {
  const busy = taken
    .filter((cidr) => overlaps6(within, cidr))
    .map((cidr) => ({
      from: slotOf6(within, length, cidr.address),
      to: slotOf6(within, length, lastOf6(cidr)),
    }))
  return runsBetween(range, busy)
}
