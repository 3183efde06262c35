import type { Bench } from './bench.ts'
import { attach } from './benches/attach.ts'
import { bulkTcp } from './benches/bulk-tcp.ts'
import { datagrams } from './benches/datagrams.ts'
import { loadedRoundTrip } from './benches/loaded-round-trip.ts'
import { mapSize } from './benches/map-size.ts'
import { memory } from './benches/memory.ts'
import { networkCreate } from './benches/network-create.ts'
import { processor } from './benches/processor.ts'
import { roundTrip } from './benches/round-trip.ts'
import type { ModeName } from './modes.ts'
import type { RunOptions } from './options.ts'

/** The quiet before the loud. */
const BEFORE: readonly Bench[] = [attach, networkCreate]
const IN_EVERY_MODE: readonly Bench[] = [roundTrip, loadedRoundTrip, bulkTcp, processor, datagrams]
/** What the daemon has become; then what it does not recover from. */
const AFTER: readonly Bench[] = [memory, mapSize]

/** All, in the order of the document. */
export const BENCHES: readonly Bench[] = [
  bulkTcp,
  datagrams,
  roundTrip,
  loadedRoundTrip,
  processor,
  mapSize,
  attach,
  networkCreate,
  memory,
]

/** Not a bench of hosts: operations of the datapath by themselves. */
export const MICRO = 'micro'

/** Not a figure: where our time goes. */
export const PROFILE = 'profile'

/** Benches that are run together; the mode is null beside the modes. */
export interface Part {
  readonly mode: ModeName | null
  readonly benches: readonly Bench[]
}

/** The parts of a run, in their order. */
export function planOf({ benches, modes }: Pick<RunOptions, 'benches' | 'modes'>): Part[] {
  const chosen = (all: readonly Bench[]): Bench[] =>
    all.filter(({ name }) => benches.length === 0 || benches.includes(name))
  return [
    { mode: null, benches: chosen(BEFORE) },
    ...modes.map((mode) => ({ mode, benches: chosen(IN_EVERY_MODE) })),
    { mode: null, benches: chosen(AFTER) },
  ].filter((part) => part.benches.length > 0)
}
