import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import type { CounterName } from '../../../src/datapath/counters.ts'
import { type ForwarderProcess, iperf, OWN, TwoHosts } from './two-hosts.ts'

/** ALLOCATION_SECONDS=60 makes it the full minute. */
const SECONDS = Number(process.env['ALLOCATION_SECONDS'] ?? '6')

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

/** Bulk TCP, and small datagrams both ways, at once. */
async function traffic(hosts: TwoHosts, seconds: number): Promise<void> {
  const time = ['-t', String(seconds)]
  await Promise.all([
    iperf(hosts.a, hosts.b, OWN.b, ...time, '--bidir'),
    iperf(hosts.b, hosts.a, OWN.a, ...time, '--bidir', '-u', '-b', '5M', '-l', '64'),
  ])
}

test('a worker at work leaves nothing on its heap, so there is nothing to collect', async () => {
  await using hosts = await TwoHosts.create()
  await using a = await hosts.ours('a')
  await using b = await hosts.ours('b')
  const forwarders = [a, b]
  // Until the code is compiled it computes in objects.
  for (let warm = 0; warm < 3; warm++) await traffic(hosts, 2)

  const running = traffic(hosts, SECONDS)
  const samples: Sample[][] = forwarders.map(() => [])
  for (let second = 0; second < SECONDS; second++) {
    await sleep(1000)
    for (const [index, forwarder] of forwarders.entries()) {
      samples[index]!.push(await sample(forwarder))
    }
  }
  await running
  for (const series of samples) {
    const heaps = series.map(({ heap }) => heap)
    // A collection would take megabytes of what compiling has left.
    assert.deepEqual(
      heaps,
      heaps.toSorted((one, other) => one - other),
      'the heap never shrinks',
    )
    const grown = heaps.at(-1)! - heaps[0]!
    const calls = series.at(-1)!.calls - series[0]!.calls
    assert.ok(calls > 1000 * SECONDS, `${calls} system calls on packets`)
    assert.ok(grown < calls, `${grown} bytes more on the heap after ${calls} system calls`)
  }
})
