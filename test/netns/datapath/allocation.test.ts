import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import type { CounterName } from '../../../src/datapath/counters.ts'
import { endProgram } from '../../support/end-program.ts'
import type { Netns } from '../../support/netns.ts'
import { untilListening } from './carries.ts'
import { type ForwarderProcess, OWN, programIn, TwoHosts } from './two-hosts.ts'

/** A window of time in which the heap must stay flat; ALLOCATION_SECONDS=60 makes it a full minute. */
const SECONDS = Number(process.env['ALLOCATION_SECONDS'] ?? '2')

/** Flat windows in a row: one of them may be luck. */
const WINDOWS = 3

/**
 * Before V8 has compiled the loop for good it computes in objects: a sequence number above 2^31 or a kind
 * of packet that comes for the first time sends a function back to be compiled again. This is how long
 * that may take, on a machine that has much else to do.
 */
const WARM_SECONDS = 300

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
  await using programs = new AsyncDisposableStack()
  // Nobody reads what it would say every second.
  const start = (host: Netns, ...words: string[]): void =>
    void programs.adopt(programIn(host, 'iperf3', '-i', '0', ...words), endProgram)
  for (const [server, own] of [[a, OWN.a] as const, [b, OWN.b] as const]) {
    start(server, '-s', '-B', own)
    await untilListening(server)
  }
  const unending = ['-t', '0', '--bidir']
  start(a, '-c', OWN.b, ...unending)
  start(b, '-c', OWN.a, ...unending, '-u', '-b', '5M', '-l', '64')
  return programs.move()
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
  const said: string[] = []
  const deadline = performance.now() + (WARM_SECONDS + WINDOWS * SECONDS) * 1000
  for (let flat = 0; flat < WINDOWS;) {
    for (let second = 0; second < SECONDS; second++) {
      await sleep(1000)
      for (const { forwarder, samples } of series) samples.push(await sample(forwarder))
    }
    const complaints = series
      .map(({ samples }) => complaintOf(samples.slice(-SECONDS - 1)))
      .filter((complaint) => complaint !== null)
    flat = complaints.length === 0 ? flat + 1 : 0
    said.push(...complaints)
    assert.ok(performance.now() < deadline || flat > 0, said.slice(-10).join('\n'))
  }
})
