import type { CounterName } from '../../../src/datapath/counters.ts'

const LOSS = /_drop_|_lost_|_errors?$|_overflows$/

/** The counters of what did not arrive, those that are not zero. */
export function lossOf(
  counters: Readonly<Record<CounterName, number>>,
): Partial<Record<CounterName, number>> {
  return Object.fromEntries(
    Object.entries(counters).filter(([name, value]) => value > 0 && LOSS.test(name)),
  )
}
