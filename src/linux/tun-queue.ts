import { z } from 'zod'
import { TUN_NAME } from './host-state.ts'
import { isMissingProgram, run } from './run.ts'

/** The queue in which the kernel keeps packets for the forwarder, as it stands. */
export interface TunQueueState {
  /** At the root: "fq_codel"; "mq" where the kernel has chosen. */
  readonly qdisc: string
  /** txqueuelen, in packets of each worker. */
  readonly length: number
  /** Packets lost since the device was made because the queue was full: a TUN does not slow its senders. */
  readonly dropped: number
}

const link = z.object({
  qdisc: z.string(),
  txqlen: z.number(),
  stats64: z.object({ tx: z.object({ dropped: z.number() }) }),
})

/** null when there is no TUN. @throws OverlayError host_state */
export async function readTunQueue(name = TUN_NAME): Promise<TunQueueState | null> {
  try {
    const args = ['-json', '-statistics', 'link', 'show', 'dev', name]
    const { code, stdout } = await run('ip', args, { accept: [1] })
    if (code !== 0) return null
    const [found] = z.tuple([link]).parse(JSON.parse(stdout))
    return { qdisc: found.qdisc, length: found.txqlen, dropped: found.stats64.tx.dropped }
  } catch (error) {
    if (isMissingProgram(error)) return null
    throw error
  }
}
