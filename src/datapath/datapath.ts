import { release } from 'node:os'
import { messageOf, OverlayError } from '../errors.ts'
import type { Log } from '../log.ts'
import type { Ipv4 } from '../net/ipv4.ts'
import { formatIp, type Ipv6 } from '../net/ipv6.ts'
import { buildSubnetMap } from './build-subnet-map.ts'
import { COUNTER, type CounterName, totalOf } from './counters.ts'
import { addressOf, libc } from './libc.ts'
import { MAX_TUN_QUEUES, TUN_QUEUES } from './limits.ts'
import { PacketMemory } from './packet-memory.ts'
import { AllowedCoalescing } from './allowed-coalescing.ts'
import type { ForwardingTables } from './tables.ts'
import { PATH_MTU_MEMORY_MS } from './path-mtu.ts'
import { ReceiveLosses } from './receive-losses.ts'
import { attachWorker } from './tun.ts'
import { probeCoalescing } from './tun-probe.ts'
import type { UdpReceiveOffload, UdpSegmentation } from './udp-offload.ts'
import { descriptorsOf, openUnderlay } from './underlay-sockets.ts'
import { startWorker, type WorkerThread } from './worker-thread.ts'

export interface DatapathOptions {
  /** Address that the UDP sockets bind to: the underlay interface's own. Peers are of its family. */
  readonly bindIp: Ipv4 | Ipv6
  readonly port: number
  /** An existing persistent TUN device (`ip tuntap add … mode tun multi_queue vnet_hdr`). */
  readonly tunName: string
  /** Threads; each has queues of the TUN and sockets of its own. */
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

export interface Capabilities {
  readonly workers: number
  /** What the TUN hands over unfinished: "checksum, TSO and USO". */
  readonly tunOffload: string
  /** Super-packets are written to the TUN. */
  readonly tcpCoalescing: boolean
  readonly udpCoalescing: boolean
  /** Many datagrams leave by one send, and arrive by one receive. */
  readonly udpSegmentation: boolean
  readonly udpReceiveOffload: boolean
}

export interface WorkerShare {
  /** Packets and super-packets read from the TUN. */
  readonly fromContainers: number
  /** Frames received. */
  readonly fromUnderlay: number
  /** On the JavaScript heap, which traffic does not fill; null for a worker that has ended. */
  readonly heapBytes: number | null
}

export interface Datapath {
  /** Replaces the forwarding tables; takes effect for the next packet, without stopping a worker. */
  program(tables: ForwardingTables): void
  /** Every counter by name, read from shared memory and summed over the workers. */
  counters(): Record<CounterName, number>
  /** What the kernel was found to be able to do, and what is made use of. */
  capabilities(): Capabilities
  /** How the load is spread. */
  workers(): Promise<WorkerShare[]>
  /** Detaches from the TUN, which stays, closes the sockets and ends the workers. */
  stop(): Promise<void>
  /** Rejects with OverlayError datapath when a worker dies by itself; it never resolves. */
  readonly failed: Promise<never>
}

const EMPTY: ForwardingTables = { vtepMac: '00:00:00:00:00:00', local: [], remote: [] }
const SCRATCH = 262_144

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
  const open = new Set(sockets.flatMap(descriptorsOf))
  const receiving = sockets.flatMap(({ receive }) => receive)
  const losses = new ReceiveLosses(scratch, receiving)
  const close = (fd: number): void => {
    losses.leave(fd)
    if (open.delete(fd)) libc.close(fd)
  }
  undo.defer(() => [...open].forEach(close))
  const readQueues = Math.max(1, Math.min(TUN_QUEUES, Math.floor(MAX_TUN_QUEUES / workers) - 1))
  const queues = Array.from({ length: workers }, () =>
    attachWorker(tunName, readQueues, open, scratch),
  )
  const coalescing = new AllowedCoalescing()
  coalescing.allow(probeCoalescing(queues[0]!.write, scratch, release()))
  const capabilities = (): Capabilities => ({
    workers,
    tunOffload: queues[0]!.offload,
    tcpCoalescing: coalescing.tcp,
    udpCoalescing: coalescing.udp,
    udpSegmentation: sockets[0]!.gso,
    udpReceiveOffload: sockets[0]!.gro,
  })
  const failed = Promise.withResolvers<never>()
  failed.promise.catch(() => {}) // it is the caller's to wait for, or not
  const threads: WorkerThread[] = []
  const firstMap = buildSubnetMap(EMPTY)
  for (const [index, { reads, write }] of queues.entries()) {
    const own = sockets[index]!
    const thread = startWorker(
      {
        tun: { reads, write },
        sockets: own,
        bindIp,
        port,
        coalescing: coalescing.buffer,
        busyPollUs: options.busyPollUs ?? BUSY_POLL_US,
        dscp: options.dscp ?? 0,
        pathMtuMemoryMs: options.pathMtuMemoryMs ?? PATH_MTU_MEMORY_MS,
        firstMap,
      },
      {
        onDeath(cause) {
          // The kernel spreads its flows over the workers that are left, until all are replaced.
          for (const fd of [...reads, write, ...own.receive]) close(fd)
          failed.reject(
            new OverlayError('datapath', `the forwarder ended: ${messageOf(cause)}`, { cause }),
          )
        },
        onCoalescingEnded() {
          log.warn({ device: tunName }, 'the kernel refuses super-packets; segments go one by one')
        },
      },
    )
    undo.defer(() => thread.end())
    threads.push(thread)
    await Promise.race([thread.ready, failed.promise])
  }
  const address =
    typeof bindIp === 'bigint' ? `[${formatIp(bindIp)}]:${port}` : `${formatIp(bindIp)}:${port}`
  log.info({ address, device: tunName, ...capabilities() }, 'forwarder started')

  const cleanup = undo.move()
  return {
    program(tables) {
      const map = buildSubnetMap(tables)
      for (const thread of threads) thread.use(map)
    },
    counters: () => totalOf([...threads.map((thread) => thread.counters), losses.counters]),
    capabilities,
    workers: () =>
      Promise.all(
        threads.map(async (thread) => ({
          fromContainers: thread.counters.get(COUNTER.tun_packets),
          fromUnderlay: thread.counters.get(COUNTER.rx_frames),
          heapBytes: await thread.heap(),
        })),
      ),
    stop: () => cleanup.disposeAsync(),
    failed: failed.promise,
  }
}
