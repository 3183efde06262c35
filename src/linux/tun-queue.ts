import { z } from 'zod'
import { TUN_NAME } from './host-state.ts'
import { isMissingProgram, run } from './run.ts'

/** The queue in which the kernel keeps packets for the forwarder, as it stands. */
export interface TunQueueState {
  /** At the root: "fq_codel"; "mq" where the kernel has chosen. */
  readonly qdisc: string
  /** txqueuelen: packets that each queue of the device holds, of which a worker has several. */
  readonly length: number
  /**
   * Packets lost since the device was made because its queues were full, or since its queueing
   * discipline was set because that would not hold them: a TUN does not slow its senders.
   */
  readonly dropped: number
}

const links = z.tuple([
  z.object({
    qdisc: z.string(),
    txqlen: z.number(),
    stats64: z.object({ tx: z.object({ dropped: z.number() }) }),
  }),
])

/** The root counts what those below it dropped (mq_dump in net/sched/sch_mq.c). */
const qdiscs = z.array(z.object({ root: z.boolean().optional(), drops: z.number() }))

/** null when there is no TUN, or what the host's programs say of it is not understood. */
export async function readTunQueue(name = TUN_NAME): Promise<TunQueueState | null> {
  try {
    const [link, qdisc] = await Promise.all([
      run('ip', ['-json', '-statistics', 'link', 'show', 'dev', name]),
      run('tc', ['-json', '-statistics', 'qdisc', 'show', 'dev', name]).catch((error: unknown) => {
        if (isMissingProgram(error)) return { stdout: '[]' }
        throw error
      }),
    ])
    return parseTunQueue(link.stdout, qdisc.stdout)
  } catch {
    // It is one figure among many, which are not to be withheld for its sake.
    return null
  }
}

/**
 * Where the kernel stops a full queue of the device, packets are lost in the queueing discipline before it.
 * @param link what `ip -json -statistics link show` printed
 * @param qdisc what `tc -json -statistics qdisc show` printed
 */
export function parseTunQueue(link: string, qdisc: string): TunQueueState | null {
  const found = links.safeParse(jsonOf(link))
  const waiting = qdiscs.safeParse(jsonOf(qdisc))
  if (!found.success || !waiting.success) return null
  const [{ qdisc: kind, txqlen, stats64 }] = found.data
  const root = waiting.data.find((each) => each.root)
  return { qdisc: kind, length: txqlen, dropped: stats64.tx.dropped + (root?.drops ?? 0) }
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return null
  }
}
