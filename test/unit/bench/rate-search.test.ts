import assert from 'node:assert/strict'
import { test } from 'node:test'
import { highestRate, type Probe } from '../../../bench/rate-search.ts'

interface Path {
  /** Packets a second that it carries; the rest is lost. */
  readonly carries: number
  /** Packets a second that the sender can offer. */
  readonly offers?: number
  /** How many of the first probes are disturbed. */
  readonly disturbed?: number
  /** Carried only as long as queues last. */
  readonly briefly?: number
}

async function search(
  { carries, offers = Infinity, disturbed = 0, briefly = carries }: Path,
  start: number,
): Promise<{ rate: number; probes: number }> {
  let probes = 0
  const through = (rate: number, most: number): Promise<Probe> => {
    const offered = Math.min(rate, offers)
    const delivered = probes++ < disturbed ? offered * 0.9 : Math.min(offered, most)
    return Promise.resolve({ offered, delivered })
  }
  const rate = await highestRate({
    loss: 0.001,
    start,
    precision: 1.04,
    probe: (rate) => through(rate, briefly),
    confirm: (rate) => through(rate, carries),
  })
  return { rate, probes }
}

/** At most that share below what is carried, and not above. */
function isClose(rate: number, carries: number): void {
  assert.ok(rate > carries / 1.05 && rate <= carries * 1.001, `${rate} of ${carries}`)
}

test('the rate is found from below and from above, in few steps', async () => {
  for (const start of [1000, 40_000, 250_000, 3_000_000]) {
    const { rate, probes } = await search({ carries: 250_000 }, start)
    isClose(rate, 250_000)
    assert.ok(probes < 35, `${probes}`)
  }
})

test('from close by it takes fewer steps than from afar', async () => {
  const near = await search({ carries: 250_000 }, 245_000)
  const far = await search({ carries: 250_000 }, 20_000)
  assert.ok(near.probes < far.probes, `${near.probes} and ${far.probes}`)
})

test('a loss below the share is none', async () => {
  const { rate } = await search({ carries: 100_000 }, 100_050)
  assert.ok(rate >= 100_000, `${rate}`)
})

test('one disturbance does not spoil the search', async () => {
  isClose((await search({ carries: 250_000, disturbed: 1 }, 40_000)).rate, 250_000)
})

test('a sender that offers no more ends the search at what it offers', async () => {
  const { rate, probes } = await search({ carries: 900_000, offers: 330_000 }, 40_000)
  isClose(rate, 330_000)
  assert.ok(probes < 15, `${probes}`)
})

test('a sender that lags behind is asked for more, as long as it then offers more', async () => {
  const rate = await highestRate({
    loss: 0.001,
    start: 40_000,
    precision: 1.04,
    probe: (asked) => {
      const offered = Math.min(asked * 0.9, 300_000)
      return Promise.resolve({ offered, delivered: offered })
    },
    confirm: (asked) => Promise.resolve({ offered: asked * 0.9, delivered: asked * 0.9 }),
  })
  assert.ok(rate > 280_000 && rate <= 300_000, `${rate}`)
})

test('what only queues carried for a moment is not the answer', async () => {
  isClose((await search({ carries: 200_000, briefly: 260_000 }, 40_000)).rate, 200_000)
})

test('a path that carries nothing has no rate', async () => {
  assert.equal((await search({ carries: 0 }, 40_000)).rate, 0)
})
