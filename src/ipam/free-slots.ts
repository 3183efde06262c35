import { OverlayError } from '../errors.ts'
import { formatCidr, lastOf, overlaps, type Cidr } from '../net/cidr.ts'

/**
 * Prefixes of one length inside a wider one, counted by slot: slot 3 of 10.32.0.0/12 in /24s is 10.32.3.0/24.
 * Both ends are inclusive.
 */
export interface Run {
  readonly from: number
  readonly to: number
}

/** @throws OverlayError bad_input when `length` does not fit inside `within` */
export function slotCount(within: Cidr, length: number): number {
  if (length < within.length || length > 32) {
    throw new OverlayError(
      'bad_input',
      `a /${length} does not fit inside ${formatCidr(within)}; choose a longer length or a larger pool`,
    )
  }
  return 2 ** (length - within.length)
}

export function slotAt(within: Cidr, length: number, slot: number): Cidr {
  return { base: within.base + slot * 2 ** (32 - length), length }
}

/** The slot that holds the address. */
export function slotOf(within: Cidr, length: number, ip: number): number {
  return Math.floor((ip - within.base) / 2 ** (32 - length))
}

/**
 * The slots of `range` that no prefix of `taken` touches, ascending. The taken prefixes may be of
 * any length, nested, repeated, and outside `within`. Work follows their number, not the number of slots.
 */
export function freeRuns(
  within: Cidr,
  length: number,
  range: Run,
  taken: readonly Cidr[],
): readonly Run[] {
  const busy = taken
    .filter((cidr) => overlaps(within, cidr))
    .map((cidr) => ({
      from: slotOf(within, length, Math.max(cidr.base, within.base)),
      to: slotOf(within, length, Math.min(lastOf(cidr), lastOf(within))),
    }))
  return runsBetween(range, busy)
}

/** What of `range` no run of `busy` touches, ascending; busy ones may overlap and come in any order. */
export function runsBetween(range: Run, busy: readonly Run[]): readonly Run[] {
  const free: Run[] = []
  let next = range.from
  for (const { from, to } of busy.toSorted((a, b) => a.from - b.from)) {
    if (from > next) free.push({ from: next, to: Math.min(from - 1, range.to) })
    next = Math.max(next, to + 1)
    if (next > range.to) break
  }
  if (next <= range.to) free.push({ from: next, to: range.to })
  return free
}

export function countSlots(runs: readonly Run[]): number {
  return runs.reduce((sum, { from, to }) => sum + to - from + 1, 0)
}

/** The nth slot of the runs taken together, from zero. */
export function nthSlot(runs: readonly Run[], n: number): number {
  let left = n
  for (const { from, to } of runs) {
    const size = to - from + 1
    if (left < size) return from + left
    left -= size
  }
  throw new RangeError(`slot ${n} of ${countSlots(runs)}`)
}
