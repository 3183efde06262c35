/**
 * One thread of the forwarder: waits for the TUN, the VXLAN port or word from the main thread, gives each
 * direction a turn, and waits again. Between two small packets that follow each other closely it looks
 * instead of sleeping (busy-poll.ts). It never returns to Node's event loop.
 */

import { parentPort, receiveMessageOnPort, workerData } from 'node:worker_threads'
import { packetSimd } from '../packet/packet-simd.ts'
import { BusyPoll } from './busy-poll.ts'
import { Clock } from './clock.ts'
import { COUNTER, Counters } from './counters.ts'
import { EAGAIN, EINTR, errnoName } from './errno.ts'
import { Forwarder, HEADROOM } from './forwarder.ts'
import { IdlePeriod } from './idle-period.ts'
import { addressOf, libc } from './libc.ts'
import { MAX_TUN_READ, TURN_BYTES } from './limits.ts'
import { PacketMemory } from './packet-memory.ts'
import { PathMtu } from './path-mtu.ts'
import { pathMtuProbe } from './path-mtu-probe.ts'
import { Readiness } from './readiness.ts'
import { AllowedCoalescing } from './allowed-coalescing.ts'
import { SubnetMap } from './subnet-map.ts'
import { TunPort } from './tun-port.ts'
import { type Taken, Turn } from './turn.ts'
import { RECEIVER_MEMORY, UnderlayReceiver } from './underlay-receiver.ts'
import { UnderlaySender } from './underlay-sender.ts'
import { COALESCING_ENDED, READY, type WorkerStart } from './worker-messages.ts'

const MEMORY = 2 * 1024 * 1024 + RECEIVER_MEMORY

/** Bytes in one turn from which on it is throughput that counts. */
const BULK = 16 * 1024

/** A worker that waits in the kernel cannot be terminated; this bounds how long a dying process waits for it. */
const WAIT_MS = 1000

/** Microseconds without a packet after which all descriptors are read, to find one that is not watched any more. */
const LONG_IDLE = 1_000_000

const start = workerData as WorkerStart
const memory = new PacketMemory(MEMORY, addressOf)
const counters = new Counters(start.counters)
const coalescing = new AllowedCoalescing(start.coalescing)
const tun = new TunPort(memory, start.tun, counters, () => {
  if (coalescing.end()) parentPort?.postMessage(COALESCING_ENDED, [])
})
const firstMap = new SubnetMap(start.firstMap)
const clock = new Clock(memory)
const now = (): number => clock.milliseconds
const askPathMtu = pathMtuProbe(memory, start.bindIp, start.port)
const paths = new PathMtu(firstMap, askPathMtu, now, start.pathMtuMemoryMs)
const sender = new UnderlaySender(
  { memory, sockets: start.sockets, port: start.port, counters, paths, now },
  firstMap,
)
const receiver = new UnderlayReceiver(memory, start.sockets.receive, counters, firstMap)
const forwarder = new Forwarder(
  {
    memory,
    simd: packetSimd(memory.wasm),
    counters,
    containers: tun,
    underlay: sender,
    paths,
    coalesce: coalescing,
    dscp: start.dscp,
    now,
  },
  firstMap,
)

// Buffers begin two bytes past a multiple of four: 22 bytes on, the IP header is aligned.
const OFFSET = 2
const fromTun = memory.reserve(TURN_BYTES + MAX_TUN_READ + HEADROOM + OFFSET) + OFFSET
const eventCount = memory.reserve(8)
const aligned = (length: number): number => (length + 15) & ~15

const { receive } = start.sockets
const { reads } = start.tun
const ORDERS = 0
const FIRST_SOCKET = 1
const FIRST_QUEUE = FIRST_SOCKET + receive.length
const readiness = new Readiness(memory, [start.eventfd, ...receive, ...reads])

const containersTurn = new Turn({
  count: reads.length,
  isReady: (queue) => readiness.isReady(FIRST_QUEUE + queue),
  take: takeFromContainers,
  flush: () => forwarder.flushToUnderlay(),
})
const underlayTurn = new Turn({
  count: receive.length,
  isReady: (socket) => readiness.isReady(FIRST_SOCKET + socket),
  take: takeFromUnderlay,
  flush: () => forwarder.flushToContainers(),
})

const stop = new Int32Array(start.stop)
const busyPoll = new BusyPoll(start.busyPollUs)
const idle = new IdlePeriod(clock)

parentPort?.postMessage(READY, [])
try {
  while (Atomics.load(stop, 0) === 0) attend()
} finally {
  readiness.close()
}

function attend(): void {
  const isReady = looksAndFinds() || readiness.wait(WAIT_MS)
  const idleFor = idle.length()
  if (idleFor >= LONG_IDLE) readiness.suspectAll()
  else if (!isReady) return
  if (readiness.isReady(ORDERS)) takeOrders()
  const sent = containersTurn.run()
  const received = underlayTurn.run()
  if (!sent && !received) return
  busyPoll.idled(idleFor)
  if ((sent && containersTurn.bytes > BULK) || (received && underlayTurn.bytes > BULK)) {
    busyPoll.bulk()
  }
  idle.begin()
}

/**
 * Instead of sleeping, looks again and again for as long as it is likely to pay, and lends the core to
 * whoever needs it in between.
 */
function looksAndFinds(): boolean {
  const { window } = busyPoll
  if (window === 0) return false
  let length = idle.length()
  while (length < window) {
    if (readiness.wait(0)) return true
    libc.sched_yield()
    const before = length
    length = idle.length()
    busyPoll.yielded(length - before)
  }
  return false
}

function takeOrders(): void {
  libc.read(start.eventfd, memory.base + eventCount, 8)
  let newest: SharedArrayBuffer | undefined
  for (;;) {
    const received = receiveMessageOnPort(start.maps)
    if (!received) break
    newest = received.message as SharedArrayBuffer
  }
  if (!newest) return
  const map = new SubnetMap(newest)
  // The forwarder first: what it has queued goes out by the old one.
  for (const part of [forwarder, sender, receiver]) part.use(map)
}

function takeFromContainers(queue: number, taken: Taken, used: number): void {
  const at = fromTun + used + HEADROOM
  const length = tun.read(queue, at, MAX_TUN_READ)
  if (length < 0) {
    giveUpUnlessTransient(-length, 'reading the TUN device')
    return
  }
  forwarder.fromContainers(at, length)
  taken.packets = 1
  taken.bytes = aligned(HEADROOM + length)
}

/** What the socket holds, in one system call; passed on at once, since the next one uses the same memory. */
function takeFromUnderlay(
  socket: number,
  taken: Taken,
  _used: number,
  packets: number,
  bytes: number,
): void {
  const most = receiver.most(socket, packets, bytes)
  const received = receiver.receive(socket, most)
  if (received < 0) {
    giveUpUnlessTransient(-received, 'receiving on the VXLAN port')
    return
  }
  for (let slot = 0; slot < received; slot++) {
    receiver.select(slot)
    taken.bytes += receiver.length
    if (receiver.truncated) {
      counters.add(COUNTER.rx_frames)
      counters.add(COUNTER.rx_drop_truncated)
    } else {
      const { at, length, groSize, peer, tos } = receiver
      forwarder.fromUnderlay(at, length, groSize, peer, tos)
    }
  }
  forwarder.flushToContainers()
  taken.packets = received
  taken.isLast = received < most
}

function giveUpUnlessTransient(failure: number, doing: string): void {
  if (failure === EAGAIN || failure === EINTR) return
  throw new Error(`${doing} failed: ${errnoName(failure)}`)
}
