/** What came of an offered rate. */
export interface Probe {
  /** What was really offered: less than asked when the sender cannot keep up. In packets a second. */
  readonly offered: number
  /** In packets a second. */
  readonly delivered: number
}

export interface RateSearch {
  /** Share of packets that may be missing: 0.001 is 0.1 %. */
  readonly loss: number
  /** Where to begin; near the answer saves probes. In packets a second. */
  readonly start: number
  /** How close to a rate that fails the answer is to be: 1.04 is 4 %. */
  readonly precision: number
  /** Offers a rate for a moment. */
  readonly probe: (rate: number) => Promise<Probe>
  /** Offers a rate for longer; what it finds is the answer. */
  readonly confirm: (rate: number) => Promise<Probe>
}

/** Offered less than this share of what was asked, the sender is at its end. */
const KEEPS_UP = 0.95
/** Between two rates before one that fails is known, and between two that fail. */
const STRIDE = 1.6
/** Below this nothing is measured any more: the path carries nothing. */
const LEAST_RATE = 100

/**
 * The highest rate of packets with at most that share lost, in packets a second; 0 when there is none.
 * A rate that fails, or that the sender does not reach, is tried once more, since a single interruption
 * of sender or receiver by another program loses more than the share. Where the sender cannot offer more
 * the highest rate is what it can.
 */
export async function highestRate(search: RateSearch): Promise<number> {
  /** The highest rate that was delivered, the highest that was asked for without failing, the lowest that failed. */
  let holds = 0
  let asked = 0
  let fails = Infinity
  let rate = search.start
  while (fails / asked > search.precision) {
    const held = await holding(search, search.probe, rate)
    if (held === null) fails = rate
    else {
      const grew = held > holds * search.precision
      holds = Math.max(holds, held)
      asked = Math.max(asked, rate)
      if (held < rate * KEEPS_UP && !grew) break
    }
    if (asked === 0) rate = fails / STRIDE
    else rate = fails === Infinity ? asked * STRIDE : Math.sqrt(asked * fails)
    if (rate < LEAST_RATE) return 0
  }
  // What a moment holds, queues may have held.
  const first = Math.min(asked, holds / KEEPS_UP)
  for (let sure = first; sure >= LEAST_RATE; sure /= search.precision) {
    const held = await holding(search, search.confirm, sure)
    if (held !== null) return held
  }
  return 0
}

/** The rate delivered if the loss is small enough in one of two tries, else null. */
async function holding(
  { loss }: RateSearch,
  offer: (rate: number) => Promise<Probe>,
  rate: number,
): Promise<number | null> {
  let held: number | null = null
  for (let tries = 0; tries < 2; tries++) {
    const { offered, delivered } = await offer(rate)
    if (delivered > 0 && delivered >= offered * (1 - loss)) held = Math.max(held ?? 0, delivered)
    if (held !== null && held >= rate * KEEPS_UP) break
  }
  return held
}
