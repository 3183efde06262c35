import type { MessagePort } from 'node:worker_threads'
import type { Ipv4 } from '../net/ipv4.ts'
import type { Ipv6 } from '../net/ipv6.ts'
import type { TunQueues } from './tun.ts'
import type { UnderlaySockets } from './underlay-sockets.ts'

/** What a worker starts with. File descriptors belong to the process, so numbers are enough. */
export interface WorkerStart {
  readonly tun: TunQueues
  readonly sockets: UnderlaySockets
  /** What the sockets are bound to. */
  readonly bindIp: Ipv4 | Ipv6
  readonly port: number
  /** Of AllowedCoalescing, the same for all workers. */
  readonly coalescing: SharedArrayBuffer
  /** Longest busy-polling between two packets, in microseconds; 0 for none. */
  readonly busyPollUs: number
  readonly dscp: number | 'inherit'
  readonly pathMtuMemoryMs: number
  /** Wakes the worker. */
  readonly eventfd: number
  /** One word: not 0 when the worker is to end. */
  readonly stop: SharedArrayBuffer
  readonly counters: SharedArrayBuffer
  /** Brings subnet maps (SharedArrayBuffer), looked at after each wake-up by the eventfd. */
  readonly maps: MessagePort
  readonly firstMap: SharedArrayBuffer
}

/** What a worker says to the main thread: it forwards from now on; it ended the writing of super-packets. */
export const READY = 'ready'
export const COALESCING_ENDED = 'coalescing ended'
