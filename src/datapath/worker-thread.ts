import { MessageChannel, Worker } from 'node:worker_threads'
import { messageOf, OverlayError } from '../errors.ts'
import { Counters } from './counters.ts'
import { errnoName } from './errno.ts'
import { addressOf, errno, libc } from './libc.ts'
import { COALESCING_ENDED, READY, type WorkerStart } from './worker-messages.ts'

const EFD_NONBLOCK = 0o4000
const EFD_CLOEXEC = 0o2000000

/** What the starter of a worker decides; the rest of what it needs is made here. */
export type WorkerOptions = Omit<WorkerStart, 'eventfd' | 'stop' | 'counters' | 'maps'>

export interface WorkerEvents {
  /** It ended by itself, and reads and sends no more. */
  readonly onDeath: (cause: unknown) => void
  /** The kernel refused this worker a super-packet, and none writes any from now on. */
  readonly onCoalescingEnded: () => void
}

/** A worker as the main thread sees it. */
export interface WorkerThread {
  readonly counters: Counters
  readonly ready: Promise<void>
  /** Replaces the subnet map. */
  use(map: SharedArrayBuffer): void
  /** Bytes on the heap of its JavaScript; null once it has ended. */
  heap(): Promise<number | null>
  end(): Promise<void>
}

/** @throws OverlayError datapath */
export function startWorker(options: WorkerOptions, events: WorkerEvents): WorkerThread {
  const eventfd = libc.eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)
  if (eventfd < 0) throw new OverlayError('datapath', `no eventfd: ${errnoName(errno())}`)
  const one = new Uint8Array(new BigUint64Array([1n]).buffer)
  const wake = (): void => void libc.write(eventfd, addressOf(one), one.length)
  const counters = new Counters()
  const stop = new Int32Array(new SharedArrayBuffer(4))
  const { port1: maps, port2: workerMaps } = new MessageChannel()
  maps.unref()
  const start: WorkerStart = {
    ...options,
    eventfd,
    stop: stop.buffer,
    counters: counters.buffer,
    maps: workerMaps,
  }
  const release = (): void => {
    maps.close()
    libc.close(eventfd)
  }
  let worker: Worker
  try {
    worker = new Worker(new URL('./worker.ts', import.meta.url), {
      workerData: start,
      transferList: [workerMaps],
      name: 'forwarder',
    })
  } catch (cause) {
    release()
    throw new OverlayError('datapath', `no thread: ${messageOf(cause)}`, { cause })
  }
  const ready = Promise.withResolvers<void>()
  const ended = Promise.withResolvers<void>()
  worker.on('message', (message) => {
    if (message === READY) ready.resolve()
    if (message === COALESCING_ENDED) events.onCoalescingEnded()
  })
  let cause: unknown = new Error('its thread stopped')
  worker.once('error', (error) => {
    cause = error
  })
  worker.once('exit', () => {
    if (Atomics.exchange(stop, 0, 1) === 0) events.onDeath(cause)
    release()
    ended.resolve()
  })
  return {
    counters,
    ready: ready.promise,
    use(map) {
      if (Atomics.load(stop, 0) !== 0) return
      maps.postMessage(map, [])
      wake()
    },
    async heap() {
      // Answered between two instructions of the loop, so it must not sleep.
      const statistics = worker.getHeapStatistics()
      if (Atomics.load(stop, 0) === 0) wake()
      // Of a thread that ends instead of answering, Node need not say anything more.
      return Promise.race([
        statistics.then(
          (heap) => heap.used_heap_size,
          () => null,
        ),
        ended.promise.then(() => null),
      ])
    },
    end() {
      if (Atomics.exchange(stop, 0, 1) === 0) wake()
      return ended.promise
    },
  }
}
