import assert from 'node:assert/strict'
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import type { CounterName } from '../../../src/datapath/counters.ts'
import type { Netns } from '../../support/netns.ts'
import { waitFor } from '../../support/wait.ts'
import { type ForwarderProcess, OWN, programIn, TwoHosts } from './two-hosts.ts'

/** How long the heap must stay flat; ALLOCATION_SECONDS=60 makes it a full minute. */
const SECONDS = Number(process.env['ALLOCATION_SECONDS'] ?? '2')

/**
 * Before V8 has compiled the loop for good it computes in objects: a sequence number above 2^31 or a kind
 * of packet that comes for the first time sends a function back to be compiled again. This is how long
 * that may take, on a machine that has much else to do.
 */
const WARM_SECONDS = 90

/** Bytes for a system call. One number on the heap is 16; asking for the heap's size leaves one, too. */
const FLAT = 0.05

/** System calls on packets. */
const CALLS: readonly CounterName[] = ['tun_reads', 'tun_writes', 'tx_sendmsg', 'rx_recvmsg']

interface Sample {
  readonly heap: number
  readonly calls: number
}

async function sample(forwarder: ForwarderProcess): Promise<Sample> {
  const [worker] = (await forwarder.status()).workers
  const counters = await forwarder.counters()
  return {
    heap: worker?.heapBytes ?? assert.fail('the worker has ended'),
    calls: CALLS.reduce((sum, name) => sum + counters[name], 0),
  }
}

/** Bulk TCP, and small datagrams, both ways at once, until it is disposed of. */
async function traffic({ a, b }: TwoHosts): Promise<AsyncDisposable> {
  const programs: ChildProcess[] = []
  const start = (host: Netns, ...words: string[]): number =>
    programs.push(programIn(host, 'iperf3', ...words))
  for (const [server, own] of [[a, OWN.a] as const, [b, OWN.b] as const]) {
    start(server, '-s', '-B', own)
    await waitFor(async () => (await server.run('ss', '-ltnH', 'sport', '=', ':5201')) !== '', {
      what: 'iperf3 to listen',
    })
  }
  const time = ['-t', String(WARM_SECONDS + 2 * SECONDS), '--bidir']
  start(a, '-c', OWN.b, ...time)
  start(b, '-c', OWN.a, ...time, '-u', '-b', '5M', '-l', '64')
  return {
    async [Symbol.asyncDispose]() {
      for (const program of programs) {
        const exited = once(program, 'exit')
        program.kill('SIGKILL')
        await exited
      }
    },
  }
}

/** What is wrong with a worker's heap over the time of the samples; null if it was flat. */
function complaintOf(samples: readonly Sample[]): string | null {
  const [first, last] = [samples[0]!, samples.at(-1)!]
  const calls = last.calls - first.calls
  if (calls < 1000 * SECONDS) return `${calls} system calls on packets`
  // A collection takes what compiling has left.
  const shrinks = samples.some(({ heap }, index) => index > 0 && heap < samples[index - 1]!.heap)
  const grown = last.heap - first.heap
  return shrinks || grown > FLAT * calls
    ? `${samples.map(({ heap }) => heap).join(', ')} bytes on the heap, ${calls} system calls`
    : null
}

test('a worker at work leaves nothing on its heap, so there is nothing to collect', async () => {
  await using hosts = await TwoHosts.create()
  await using a = await hosts.ours('a')
  await using b = await hosts.ours('b')
  const series = [a, b].map((forwarder) => ({ forwarder, samples: [] as Sample[] }))
  await using _traffic = await traffic(hosts)
  let complaints: (string | null)[] = []
  for (let second = 0; second < WARM_SECONDS + SECONDS; second++) {
    await sleep(1000)
    for (const { forwarder, samples } of series) samples.push(await sample(forwarder))
    if (second < SECONDS) continue
    complaints = series.map(({ samples }) => complaintOf(samples.slice(-SECONDS - 1)))
    if (complaints.every((complaint) => complaint === null)) return
  }
  assert.fail(complaints.join('\n'))
})
