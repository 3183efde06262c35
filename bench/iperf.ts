import { argv } from '../lab/argv.ts'
import { OverlayError } from '../src/errors.ts'
import { waitFor } from '../test/support/wait.ts'
import type { Subject } from './subjects/subject.ts'

/** iperf3's JSON report, as far as it is used. */
interface Report {
  readonly error?: string
  readonly end: {
    readonly sum_sent: { readonly retransmits?: number; readonly seconds: number }
    readonly sum_received: { readonly bits_per_second: number; readonly bytes: number }
    readonly cpu_utilization_percent: { readonly host_total: number; readonly remote_total: number }
  }
}

export interface Bulk {
  readonly gbitPerSecond: number
  readonly gbit: number
  readonly retransmits: number
  /** Processor seconds of both iperf3 themselves. */
  readonly toolSeconds: number
}

export interface BulkOptions {
  readonly streams: number
  /** That count; the first second, in which TCP finds its pace, comes before. */
  readonly seconds: number
  /** Count the first second too: then `gbit` and `toolSeconds` are of all that was sent. */
  readonly all?: boolean
}

/** Starts iperf3 on the server's side and waits until it is reached. @throws OverlayError */
export async function serveBulk({ client, server }: Subject): Promise<AsyncDisposable> {
  const serving = server.serve('iperf3', '-s')
  try {
    await waitFor(() => client.run(...argv`iperf3 --connect-timeout 2000 -c ${server.ip} -n 1K`), {
      what: 'iperf3 to serve',
      timeout: 20_000,
    })
    return serving
  } catch (error) {
    await serving[Symbol.asyncDispose]()
    throw error
  }
}

/** Bulk TCP from client to server. @throws OverlayError host_state */
export async function bulk(
  { client, server }: Subject,
  { streams, seconds, all = false }: BulkOptions,
): Promise<Bulk> {
  const omitted = all ? [] : ['-O', '1']
  // What hangs is ended from outside.
  const limit = seconds + 20
  const text = await client.run(
    ...argv`timeout -s KILL ${limit} iperf3 -J -c ${server.ip} --connect-timeout 5000
      ${omitted} -t ${seconds} -P ${streams}`,
  )
  const { error, end } = JSON.parse(text) as Report
  if (error !== undefined) throw new OverlayError('host_state', `iperf3: ${error}`)
  const { host_total, remote_total } = end.cpu_utilization_percent
  return {
    gbitPerSecond: end.sum_received.bits_per_second / 1e9,
    gbit: (end.sum_received.bytes * 8) / 1e9,
    retransmits: end.sum_sent.retransmits ?? 0,
    toolSeconds: ((host_total + remote_total) / 100) * end.sum_sent.seconds,
  }
}
