import { setTimeout as sleep } from 'node:timers/promises'
import type { ComparedBench } from '../bench.ts'
import { DatagramFlow, QuietFlow } from '../datagrams.ts'
import type { Values } from '../figure.ts'
import { noLossRate } from '../no-loss-rate.ts'

const SIZES = [64, 1400]
/** Of the quiet flow: µs between two datagrams. */
const INTERVAL = 2000

export const datagrams: ComparedBench = {
  kind: 'compared',
  name: 'udp',
  title: 'Datagrams',
  about:
    'The highest rate of UDP datagrams of one flow of which at most 0.1 % are lost, found by steps (bench/udp-rate.c sends them at a steady rate and counts them). Then twice as many as the rate ' +
    'found for 64 bytes: how many of them the sender could offer, how many were delivered as a share of that rate, and the round trips of a second, quiet flow of one ' +
    'datagram every 2 ms meanwhile; its lost datagrams count as slower than all others.',
  figures: [
    { id: 'udp-64', what: '64 bytes', unit: 'thousand/s', better: 'more' },
    { id: 'udp-1400', what: '1,400 bytes', unit: 'thousand/s', better: 'more' },
    {
      id: 'overload-offered',
      what: 'offered, of the rate',
      unit: '',
      better: 'more',
      compares: false,
    },
    {
      id: 'overload-share',
      what: 'delivered, of the rate',
      unit: '',
      better: 'more',
      compares: false,
    },
    {
      id: 'overload-p99',
      what: 'p99 of a quiet flow',
      unit: 'ms',
      better: 'less',
      compares: false,
    },
    { id: 'overload-answered', what: 'answered of it', unit: '', better: 'more', compares: false },
  ],
  async begin(subject, { seconds }) {
    await using opened = new AsyncDisposableStack()
    const flow = opened.use(await DatagramFlow.open(subject))
    const quiet = opened.use(await QuietFlow.open(subject))
    const open = opened.move()
    return {
      async measure() {
        const values: Record<string, number> = {}
        for (const size of SIZES) {
          values[`udp-${size}`] = (await noLossRate(flow, size, subject.name)) / 1000
        }
        const rate = values['udp-64']! * 1000
        return { ...values, ...(rate > 0 && (await overload(flow, quiet, rate, seconds))) }
      },
      [Symbol.asyncDispose]: () => open.disposeAsync(),
    }
  },
}

async function overload(
  flow: DatagramFlow,
  quiet: QuietFlow,
  rate: number,
  seconds: number,
): Promise<Values> {
  // The quiet flow begins a little later and ends a little earlier than the flood.
  const [flood, times] = await Promise.all([
    flow.offer(64, 2 * rate, seconds + 0.4),
    sleep(200).then(() => quiet.ping(64, (seconds * 1e6) / INTERVAL, INTERVAL)),
  ])
  return {
    'overload-offered': flood.offered / rate,
    'overload-share': flood.delivered / rate,
    'overload-p99': times.p99 / 1000,
    'overload-answered': times.answered,
  }
}
