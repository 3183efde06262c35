import assert from 'node:assert/strict'
import { readdirSync, readlinkSync } from 'node:fs'
import { mock, test } from 'node:test'
import { MessagePort } from 'node:worker_threads'
import { buildSubnetMap } from '../../../src/datapath/build-subnet-map.ts'
import { AllowedCoalescing } from '../../../src/datapath/allowed-coalescing.ts'
import {
  startWorker,
  type WorkerOptions,
  type WorkerThread,
} from '../../../src/datapath/worker-thread.ts'

/** Of a worker that has nothing to read. */
const IDLE: WorkerOptions = {
  tun: { reads: [], write: -1 },
  sockets: { isIpv6: false, receive: [], send: [], gso: false, gro: false },
  bindIp: 0,
  port: 8472,
  coalescing: new AllowedCoalescing().buffer,
  busyPollUs: 0,
  dscp: 0,
  pathMtuMemoryMs: 1000,
  firstMap: buildSubnetMap({ vtepMac: '00:00:00:00:00:00', local: [], remote: [] }),
}

function start(options: WorkerOptions): WorkerThread {
  return startWorker(options, {
    onDeath: (cause) => assert.fail(cause as Error),
    onCoalescingEnded: () => assert.fail('nothing was written'),
  })
}

async function idleWorker(): Promise<WorkerThread> {
  const worker = start(IDLE)
  await worker.ready
  return worker
}

function countEventfds(): number {
  // The directory's own descriptor is closed by the time its link is asked for.
  return readdirSync('/proc/self/fd').filter((fd) => linkOf(fd) === 'anon_inode:[eventfd]').length
}

function linkOf(fd: string): string | null {
  try {
    return readlinkSync(`/proc/self/fd/${fd}`)
  } catch {
    return null
  }
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

test('a thread that cannot be made leaves nothing open', () => {
  const close = mock.method(MessagePort.prototype, 'close')
  const before = countEventfds()
  // What cannot be copied to a thread stands for whatever Node may find wrong.
  const options = { ...IDLE, uncopied: () => {} }
  assert.throws(() => start(options), { code: 'datapath', message: /no thread: .*cloned/ })
  assert.equal(countEventfds(), before)
  assert.equal(close.mock.callCount(), 1)
})
