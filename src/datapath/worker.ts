import { parentPort, receiveMessageOnPort, workerData } from 'node:worker_threads'
import { simdSum } from '../packet/checksum-simd.ts'
import { COUNTER, Counters } from './counters.ts'
import { EAGAIN, EINTR, errnoName } from './errno.ts'
import { Forwarder, HEADROOM } from './forwarder.ts'
import { addressOf, libc } from './libc.ts'
import { MAX_TUN_READ, TURN_BYTES, TURN_PACKETS } from './limits.ts'
import { PacketMemory } from './packet-memory.ts'
import { PathMtu } from './path-mtu.ts'
import { pathMtuProbe } from './path-mtu-probe.ts'
import * as abi from './socket-abi.ts'
import { SubnetMap } from './subnet-map.ts'
import { TunPort } from './tun-port.ts'
import { UnderlayReceiver } from './underlay-receiver.ts'
import { UnderlaySender } from './underlay-sender.ts'
import { READY, type WorkerStart } from './worker-messages.ts'

/**
 * One thread of the forwarder: waits in poll(2) for the TUN, the VXLAN port or word from the main
 * thread, gives each direction a turn, and waits again. It never returns to Node's event loop.
 */
const MEMORY = 2 * 1024 * 1024
const MAX_RECEIVE = 65_536

/** A worker inside poll(2) cannot be terminated; this bounds how long a dying process waits for it. */
const POLL_MS = 1000

const start = workerData as WorkerStart
const memory = new PacketMemory(MEMORY, addressOf)
const counters = new Counters(start.counters)
const tun = new TunPort(memory, start.tun, counters, start.coalesce)
const firstMap = new SubnetMap(start.firstMap)
const now = (): number => performance.now()
const paths = new PathMtu(firstMap, pathMtuProbe(memory, start.port), now)
const sender = new UnderlaySender(
  { memory, sockets: start.sockets, port: start.port, counters, paths, now },
  firstMap,
)
const receiver = new UnderlayReceiver(memory, start.sockets.receive, counters, firstMap)
const forwarder = new Forwarder(
  {
    memory,
    sum: simdSum(memory.wasm),
    counters,
    containers: tun,
    underlay: sender,
    paths,
    coalesce: start.coalesce,
  },
  firstMap,
)

// Buffers begin two bytes past a multiple of four: 22 bytes on, the IP header is aligned.
const OFFSET = 2
const fromTun = memory.reserve(TURN_BYTES + MAX_TUN_READ + HEADROOM + OFFSET) + OFFSET
const fromSocket = memory.reserve(TURN_BYTES + MAX_RECEIVE + OFFSET) + OFFSET
const eventCount = memory.reserve(8)
const aligned = (length: number): number => (length + 15) & ~15

const watched = [start.tun, start.sockets.receive, start.eventfd]
const pollfds = memory.reserve(watched.length * abi.POLLFD_LENGTH)
watched.forEach((fd, index) => {
  memory.words[(pollfds >>> 2) + index * 2] = fd
  memory.words[(pollfds >>> 2) + index * 2 + 1] = abi.POLLIN
})
/** Whether anything happened to the descriptor: readable, or broken, which reading will tell. */
const isReady = (index: number): boolean =>
  memory.words[(pollfds >>> 2) + index * 2 + 1]! >>> 16 !== 0

const stop = new Int32Array(start.stop)
parentPort?.postMessage(READY, [])
while (Atomics.load(stop, 0) === 0) {
  if (libc.poll(memory.base + pollfds, watched.length, POLL_MS) <= 0) continue
  if (isReady(2)) takeOrders()
  if (isReady(0)) turnFromContainers()
  if (isReady(1)) turnFromUnderlay()
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

function turnFromContainers(): void {
  let used = 0
  for (let packets = 0; packets < TURN_PACKETS && used < TURN_BYTES; packets++) {
    const at = fromTun + used + HEADROOM
    const length = tun.read(at, MAX_TUN_READ)
    if (length < 0) {
      giveUpUnlessTransient(-length, 'reading the TUN device')
      break
    }
    forwarder.fromContainers(at, length)
    used += aligned(HEADROOM + length)
  }
  forwarder.flushToUnderlay()
}

function turnFromUnderlay(): void {
  let used = 0
  for (let packets = 0; packets < TURN_PACKETS && used < TURN_BYTES; packets++) {
    const at = fromSocket + used
    const length = receiver.receive(at, MAX_RECEIVE)
    if (length < 0) {
      giveUpUnlessTransient(-length, 'receiving on the VXLAN port')
      break
    }
    if (receiver.truncated) {
      counters.add(COUNTER.rx_frames)
      counters.add(COUNTER.rx_drop_truncated)
      continue
    }
    forwarder.fromUnderlay(at, length, receiver.groSize, receiver.peer, receiver.tos)
    used += aligned(length)
  }
  forwarder.flushToContainers()
}

function giveUpUnlessTransient(failure: number, doing: string): void {
  if (failure === EAGAIN || failure === EINTR) return
  throw new Error(`${doing} failed: ${errnoName(failure)}`)
}
