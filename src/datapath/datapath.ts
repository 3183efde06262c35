import { release } from 'node:os'
import { MessageChannel, Worker } from 'node:worker_threads'
import { messageOf, OverlayError } from '../errors.ts'
import type { Log } from '../log.ts'
import type { Ipv4 } from '../net/ipv4.ts'
import { formatIp, type Ipv6 } from '../net/ipv6.ts'
import { buildSubnetMap } from './build-subnet-map.ts'
import { type CounterName, Counters, totalOf } from './counters.ts'
import { errnoName } from './errno.ts'
import { addressOf, errno, libc } from './libc.ts'
import { PacketMemory } from './packet-memory.ts'
import type { ForwardingTables } from './tables.ts'
import { PATH_MTU_MEMORY_MS } from './path-mtu.ts'
import { attachTun, type TunQueue } from './tun.ts'
import type { UdpReceiveOffload, UdpSegmentation } from './udp-offload.ts'
import { closeUnderlay, openUnderlay, type UnderlaySockets } from './underlay-sockets.ts'
import { READY, type WorkerStart } from './worker-messages.ts'

export interface DatapathOptions {
  /** Address that the UDP sockets bind to: the underlay interface's own. Peers are of its family. */
  readonly bindIp: Ipv4 | Ipv6
  readonly port: number
  /** An existing persistent TUN device (`ip tuntap add … mode tun multi_queue vnet_hdr`). */
  readonly tunName: string
  /** Threads; each has a queue of the TUN and sockets of its own. */
  readonly workers: number
  /** Default auto. */
  readonly udpSegmentation?: UdpSegmentation
  /** Default auto. */
  readonly udpReceiveOffload?: UdpReceiveOffload
  /** Longest busy-polling of a worker between two packets, in microseconds; 0 for none. */
  readonly busyPollUs?: number
  /** DSCP of the outer header, 0 to 63, or that of the packet inside. Default 0. */
  readonly dscp?: number | 'inherit'
  /** How long a path that turned out narrow is held to be so. Default ten minutes, as in the kernel. */
  readonly pathMtuMemoryMs?: number
  readonly log: Log
}

export interface Datapath {
  /** Replaces the forwarding tables; takes effect for the next packet, without stopping a worker. */
  program(tables: ForwardingTables): void
  /** Every counter by name, read from shared memory and summed over the workers. */
  counters(): Record<CounterName, number>
  /** Detaches from the TUN, which stays, closes the sockets and ends the workers. */
  stop(): Promise<void>
  /** Rejects with OverlayError datapath when a worker dies by itself; it never resolves. */
  readonly failed: Promise<never>
}

const EMPTY: ForwardingTables = { vtepMac: '00:00:00:00:00:00', local: [], remote: [] }
const EFD_NONBLOCK = 0o4000
const EFD_CLOEXEC = 0o2000000
const SCRATCH = 65_536

/** Longer than the answer takes that a peer on the same network gives at once. */
const BUSY_POLL_US = 100

/**
 * Opens the TUN and the sockets and starts the workers. Nothing is forwarded before program().
 * @throws OverlayError datapath: port in use, no such device or address; nothing is left open
 */
export async function startDatapath(options: DatapathOptions): Promise<Datapath> {
  const { bindIp, port, tunName, log } = options
  const workers = Math.max(1, options.workers)
  const scratch = new PacketMemory(SCRATCH, addressOf)
  await using undo = new AsyncDisposableStack()

  // The port first: whoever has it is forwarding for this host, and must not lose packets to us.
  const sockets = openUnderlay(
    {
      ip: bindIp,
      port,
      workers,
      segmentation: options.udpSegmentation ?? 'auto',
      receiveOffload: options.udpReceiveOffload ?? 'auto',
    },
    scratch,
  )
  undo.defer(() => closeUnderlay(sockets))
  const queues: TunQueue[] = []
  for (let index = 0; index < workers; index++) {
    const queue = attachTun(tunName, scratch)
    undo.defer(() => void libc.close(queue.fd))
    queues.push(queue)
  }
  const failed = Promise.withResolvers<never>()
  failed.promise.catch(() => {}) // it is the caller's to wait for, or not
  const threads: Thread[] = []
  for (const [index, queue] of queues.entries()) {
    const thread = startThread(
      queue,
      sockets[index]!,
      port,
      {
        busyPollUs: options.busyPollUs ?? BUSY_POLL_US,
        dscp: options.dscp ?? 0,
        pathMtuMemoryMs: options.pathMtuMemoryMs ?? PATH_MTU_MEMORY_MS,
      },
      (cause) =>
        failed.reject(
          new OverlayError('datapath', `the forwarder ended: ${messageOf(cause)}`, { cause }),
        ),
    )
    undo.defer(() => thread.end())
    threads.push(thread)
    await Promise.race([thread.ready, failed.promise])
  }
  log.info(
    {
      address:
        typeof bindIp === 'bigint'
          ? `[${formatIp(bindIp)}]:${port}`
          : `${formatIp(bindIp)}:${port}`,
      device: tunName,
      workers,
      tunOffload: queues[0]?.offload,
      udpSegmentation: sockets[0]?.gso,
      udpReceiveOffload: sockets[0]?.gro,
    },
    'forwarder started',
  )

  const cleanup = undo.move()
  return {
    program(tables) {
      const map = buildSubnetMap(tables)
      for (const thread of threads) thread.use(map)
    },
    counters: () => totalOf(threads.map((thread) => thread.counters)),
    stop: () => cleanup.disposeAsync(),
    failed: failed.promise,
  }
}

interface Thread {
  readonly counters: Counters
  readonly ready: Promise<void>
  use(map: SharedArrayBuffer): void
  end(): Promise<void>
}

function startThread(
  queue: TunQueue,
  sockets: UnderlaySockets,
  port: number,
  choices: Pick<WorkerStart, 'busyPollUs' | 'dscp' | 'pathMtuMemoryMs'>,
  onDeath: (cause: unknown) => void,
): Thread {
  const eventfd = libc.eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)
  if (eventfd < 0) throw new OverlayError('datapath', `no eventfd: ${errnoName(errno())}`)
  const one = new Uint8Array(new BigUint64Array([1n]).buffer)
  const wake = (): void => void libc.write(eventfd, addressOf(one), one.length)
  const counters = new Counters()
  const stop = new Int32Array(new SharedArrayBuffer(4))
  const { port1: maps, port2: workerMaps } = new MessageChannel()
  maps.unref()
  const start: WorkerStart = {
    tun: queue.fd,
    sockets,
    port,
    coalesce: { tcp: true, udp: queue.udpGso && passesUdpSuperPackets(release()) },
    ...choices,
    eventfd,
    stop: stop.buffer,
    counters: counters.buffer,
    maps: workerMaps,
    firstMap: buildSubnetMap(EMPTY),
  }
  const worker = new Worker(new URL('./worker.ts', import.meta.url), {
    workerData: start,
    transferList: [workerMaps],
    name: 'forwarder',
  })
  const ready = Promise.withResolvers<void>()
  const ended = Promise.withResolvers<void>()
  worker.once('message', (message) => {
    if (message === READY) ready.resolve()
  })
  let cause: unknown = new Error('its thread stopped')
  worker.once('error', (error) => {
    cause = error
  })
  worker.once('exit', () => {
    if (Atomics.exchange(stop, 0, 1) === 0) onDeath(cause)
    maps.close()
    libc.close(eventfd)
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
    end() {
      if (Atomics.exchange(stop, 0, 1) === 0) wake()
      return ended.promise
    },
  }
}

/** Up to Linux 6.8.4 a UDP super-packet was lost in a container's own VXLAN or Geneve device. */
export function passesUdpSuperPackets(kernelRelease: string): boolean {
  const [major = 0, minor = 0, patch = 0] = kernelRelease.split(/[.-]/).map(Number)
  if (major !== 6) return major > 6
  return minor > 8 || (minor === 8 && patch >= 5)
}
