import type { CounterName } from '../../../src/datapath/counters.ts'
import type { Netns } from '../../support/netns.ts'

const LOSS = /_drop_|_lost_|_errors?$|_overflows$/

/** The counters of what did not arrive, those that are not zero. */
export function lossOf(
  counters: Readonly<Record<CounterName, number>>,
): Partial<Record<CounterName, number>> {
  return Object.fromEntries(
    Object.entries(counters).filter(([name, value]) => value > 0 && LOSS.test(name)),
  )
}

/** Packets that a device did not take from the one who sent: its queue, or the peer of a veth, was full. */
export async function linkDropsOf(netns: Netns, device: string): Promise<number> {
  const [link] = JSON.parse(await netns.run('ip', '-s', '-j', 'link', 'show', 'dev', device)) as [
    { readonly stats64: { readonly tx: { readonly dropped: number } } },
  ]
  return link.stats64.tx.dropped
}
