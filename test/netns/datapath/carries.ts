import assert from 'node:assert/strict'
import { endProgram } from '../../support/end-program.ts'
import type { Netns } from '../../support/netns.ts'
import { waitFor } from '../../support/wait.ts'
import { SOCKET_BUFFER } from './links.ts'
import { programIn } from './two-hosts.ts'

/** What of a stream may not be read when its sender has done: both sockets, and a block of iperf3's own. */
const UNREAD = 2 * SOCKET_BUFFER + 500_000

export interface Streams {
  /** Of 2^20 bytes, of all streams together. */
  readonly megabytes: number
  /** 1 unless told. */
  readonly streams?: number
}

/**
 * One run of iperf3 to an overlay address of another host: bulk TCP by an amount of data and no duration,
 * so that a busy machine makes it slower and not wrong. Fails unless all arrives, but for what the receiving
 * program has yet to read.
 */
export async function carries(
  client: Netns,
  server: Netns,
  address: string,
  { megabytes, streams = 1 }: Streams,
  ...options: string[]
): Promise<void> {
  const serving = programIn(server, 'iperf3', '-s', '-1', '-B', address)
  try {
    await untilListening(server)
    const words = ['-n', `${megabytes}M`, '-P', String(streams), ...options]
    const report = await client.run('iperf3', '-J', '-c', address, ...words)
    const { end } = JSON.parse(report) as {
      readonly end: { readonly sum_received: { readonly bytes: number } }
    }
    const { bytes } = end.sum_received
    const least = megabytes * 2 ** 20 - streams * UNREAD
    assert.ok(bytes >= least, `${bytes} bytes with ${words.join(' ')}`)
  } finally {
    await endProgram(serving)
  }
}

/** Waits until iperf3 listens. */
export async function untilListening(server: Netns): Promise<void> {
  await waitFor(async () => (await server.run('ss', '-ltnH', 'sport', '=', ':5201')) !== '', {
    what: 'iperf3 to listen',
    timeout: 60_000,
  })
}
