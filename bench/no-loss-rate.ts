import type { DatagramFlow } from './datagrams.ts'
import { highestRate } from './rate-search.ts'

const LOSS = 0.001
/** Datagrams a second: about what the slowest subjects carry. */
const START = 40_000
/** Seconds of one step of the search, and of the last one. */
const STEP = 0.2
const CONFIRM = 0.7

const found = new Map<string, number>()

/**
 * The highest rate of datagrams of a size of which at most 0.1 % are lost, in datagrams a second; 0 when
 * there is none.
 * @param key what was found for the same key before is where the search begins
 */
export async function noLossRate(flow: DatagramFlow, size: number, key: string): Promise<number> {
  const known = `${key} ${size}`
  const rate = await highestRate({
    loss: LOSS,
    start: found.get(known) ?? START,
    precision: 1.05,
    probe: (rate) => flow.offer(size, rate, STEP),
    confirm: (rate) => flow.offer(size, rate, CONFIRM),
  })
  if (rate > 0) found.set(known, rate)
  return rate
}
