import assert from 'node:assert/strict'
import { test } from 'node:test'
import { buildSubnetMap } from '../../../src/datapath/build-subnet-map.ts'
import { startWorker, type WorkerThread } from '../../../src/datapath/worker-thread.ts'

/** One that has nothing to read: poll(2) passes over descriptors below zero. */
async function idleWorker(): Promise<WorkerThread> {
  const nothing = -1
  const worker = startWorker(
    {
      tun: { reads: [nothing], write: nothing },
      sockets: { isIpv6: false, receive: nothing, send: [nothing], gso: false, gro: false },
      bindIp: 0,
      port: 8472,
      coalesce: { tcp: false, udp: false },
      busyPollUs: 0,
      dscp: 0,
      pathMtuMemoryMs: 1000,
      firstMap: buildSubnetMap({ vtepMac: '00:00:00:00:00:00', local: [], remote: [] }),
    },
    {
      onDeath: (cause) => assert.fail(cause as Error),
      onCoalescingEnded: () => assert.fail('nothing was written'),
    },
  )
  await worker.ready
  return worker
}

test('the heap of a worker is told while it runs, at its end and after it', async () => {
  const worker = await idleWorker()
  assert.ok((await worker.heap())! > 1_000_000)
  const atItsEnd = worker.heap()
  await worker.end()
  const bytes = await atItsEnd
  assert.ok(bytes === null || bytes > 1_000_000)
  assert.equal(await worker.heap(), null)
})
