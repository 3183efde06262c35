import { argv } from '../lab/argv.ts'
import { OverlayError } from '../src/errors.ts'
import { waitFor } from '../test/support/wait.ts'
import type { Subject } from './subjects/subject.ts'

const PORT = 11_111

/** µs, request and answer together. */
export interface RoundTrips {
  readonly p50: number
  readonly p99: number
  readonly p999: number
}

/** Starts sockperf on the server's side and waits until it answers. @throws OverlayError */
export async function serveRoundTrips(subject: Subject): Promise<AsyncDisposable> {
  const { server } = subject
  const serving = server.serve(...argv`sockperf server -i ${server.ip} -p ${PORT}`)
  try {
    await waitFor(() => roundTrips(subject, 1), { what: 'sockperf to answer', timeout: 20_000 })
    return serving
  } catch (error) {
    await serving[Symbol.asyncDispose]()
    throw error
  }
}

/** UDP datagrams of 64 bytes, the next one when the last one was answered. @throws OverlayError host_state */
export async function roundTrips(
  { client, server }: Subject,
  seconds: number,
): Promise<RoundTrips> {
  const limit = seconds + 20
  const text = await client.run(
    ...argv`timeout -s KILL ${limit} sockperf ping-pong -i ${server.ip} -p ${PORT} -t ${seconds} -m 64 --full-rtt`,
  )
  return parseRoundTrips(text)
}

/** What sockperf printed. @throws OverlayError host_state */
export function parseRoundTrips(text: string): RoundTrips {
  const of = (percent: string): number => {
    const found = new RegExp(`percentile ${percent} =\\s+([\\d.]+)`).exec(text)
    if (found) return Number(found[1])
    throw new OverlayError('host_state', `sockperf gave no percentile ${percent}: ${text}`)
  }
  return { p50: of('50.000'), p99: of('99.000'), p999: of('99.900') }
}
