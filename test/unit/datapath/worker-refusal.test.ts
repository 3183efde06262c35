import assert from 'node:assert/strict'
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { closeSync, openSync } from 'node:fs'
import { test } from 'node:test'
import { buildSubnetMap } from '../../../src/datapath/build-subnet-map.ts'
import { COUNTER } from '../../../src/datapath/counters.ts'
import { addressOf } from '../../../src/datapath/libc.ts'
import { PacketMemory } from '../../../src/datapath/packet-memory.ts'
import { AllowedCoalescing } from '../../../src/datapath/allowed-coalescing.ts'
import { closeUnderlay, openUnderlay } from '../../../src/datapath/underlay-sockets.ts'
import { startWorker, type WorkerThread } from '../../../src/datapath/worker-thread.ts'
import { parseIpv4 } from '../../../src/net/ipv4.ts'
import { naivePacket, PLAIN } from '../../support/naive-packets.ts'
import { naiveFrame, tablesOf } from '../../support/naive-ports.ts'
import { eventually } from '../../support/wait.ts'

const PORT = 8472
const WAIT = { what: 'the refusal' }

/** Its kernel side takes a number in digits and answers all else with EINVAL. */
const REFUSES = '/proc/self/oom_score_adj'

/** Two of the loopback addresses, which no other process takes: a process id has 22 bits at most. */
const [OWN, OTHER] = [0, 1].map((which) => {
  const bits = process.pid * 2 + which
  return `127.${bits >>> 16}.${(bits >>> 8) & 255}.${bits & 255}`
})

test('when one worker’s super-packet is refused none writes any more, and that is told once', async () => {
  await using left = new AsyncDisposableStack()
  const tables = tablesOf('b')
  const peer = createSocket('udp4').bind(0, '127.0.0.1')
  left.defer(() => void peer.close())
  await once(peer, 'listening')
  const remote = tables.remote.map((subnet) => ({ ...subnet, publicIp: parseIpv4('127.0.0.1') }))
  const write = openSync(REFUSES, 'r+')
  left.defer(() => closeSync(write))
  const coalescing = new AllowedCoalescing()
  coalescing.allow({ tcp: true, udp: true })
  let told = 0
  const start = (ip: string): WorkerThread => {
    const options = { workers: 1, segmentation: 'off', receiveOffload: 'off' } as const
    const bindIp = parseIpv4(ip)
    const scratch = new PacketMemory(65_536, addressOf)
    const sockets = openUnderlay({ ...options, ip: bindIp, port: PORT }, scratch)
    left.defer(() => closeUnderlay(sockets))
    const thread = startWorker(
      {
        tun: { reads: [], write },
        sockets: sockets[0]!,
        bindIp,
        port: PORT,
        coalescing: coalescing.buffer,
        busyPollUs: 0,
        dscp: 0,
        pathMtuMemoryMs: 1000,
        firstMap: buildSubnetMap({ ...tables, remote }),
      },
      {
        onDeath: (cause) => assert.fail(cause as Error),
        onCoalescingEnded: () => void told++,
      },
    )
    left.defer(() => thread.end())
    return thread
  }
  const workers = [start(OWN!), start(OTHER!)]
  // A peer on the same machine never cut it.
  const uncut = naivePacket({ ...PLAIN, payload: new Uint8Array(5000) }, 'partial')
  for (const [index, thread] of workers.entries()) {
    await thread.ready
    peer.send(naiveFrame(uncut), PORT, [OWN, OTHER][index])
    await eventually(() => assert.equal(thread.counters.get(COUNTER.tun_write_errors), 1), WAIT)
    await eventually(() => assert.equal(told, 1), WAIT)
    assert.deepEqual([coalescing.tcp, coalescing.udp], [false, false])
  }
  await left.disposeAsync()
  assert.equal(told, 1)
})
