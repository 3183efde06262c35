import type { ComparedBench } from '../bench.ts'
import { DatagramFlow } from '../datagrams.ts'
import type { Values } from '../figure.ts'
import { bulk, serveBulk } from '../iperf.ts'
import { noLossRate } from '../no-loss-rate.ts'
import { roundTrips, serveRoundTrips } from '../sockperf.ts'
import type { Subject } from '../subjects/subject.ts'

const FEW = 2
const MANY = 10_000
/** Rounds with few subnets, before there are many. */
const ROUNDS = 2

/** Comes after all others: a map does not become small again. */
export const mapSize: ComparedBench = {
  kind: 'compared',
  name: 'map',
  title: 'Size of the map',
  about: `The main figures with ${FEW} subnets in the map, and right afterwards with ${MANY.toLocaleString('en')}, all in use by hosts that do not exist but for these ${FEW}.`,
  figures: [FEW, MANY].flatMap((subnets) => {
    const size = `${subnets.toLocaleString('en')} subnets`
    return [
      { id: `map-${subnets}-tcp`, what: `TCP, ${size}`, unit: 'Gbit/s', better: 'more' as const },
      {
        id: `map-${subnets}-udp`,
        what: `64 bytes, ${size}`,
        unit: 'thousand/s',
        better: 'more' as const,
      },
      { id: `map-${subnets}-rtt`, what: `p50, ${size}`, unit: 'µs', better: 'less' as const },
    ]
  }),
  rounds: ROUNDS,
  includes: ({ fill }) => fill !== undefined,
  async begin(subject, { seconds, rounds }) {
    await using opened = new AsyncDisposableStack()
    opened.use(await serveBulk(subject))
    opened.use(await serveRoundTrips(subject))
    const flow = opened.use(await DatagramFlow.open(subject))
    const few: Values[] = []
    for (let round = 0; round < Math.min(ROUNDS, rounds); round++) {
      few.push(await mainFigures(subject, flow, FEW, seconds))
    }
    await subject.fill?.(MANY)
    const open = opened.move()
    return {
      measure: async () => ({
        ...few.shift(),
        ...(await mainFigures(subject, flow, MANY, seconds)),
      }),
      [Symbol.asyncDispose]: () => open.disposeAsync(),
    }
  },
}

async function mainFigures(
  subject: Subject,
  flow: DatagramFlow,
  subnets: number,
  seconds: number,
): Promise<Values> {
  return {
    [`map-${subnets}-tcp`]: (await bulk(subject, { streams: 1, seconds })).gbitPerSecond,
    [`map-${subnets}-udp`]: (await noLossRate(flow, 64, subject.name)) / 1000,
    [`map-${subnets}-rtt`]: (await roundTrips(subject, seconds)).p50,
  }
}
