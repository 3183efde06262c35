import { readSync } from 'node:fs'
import { addressOf, errno, libc } from '../src/datapath/libc.ts'
import { PacketMemory } from '../src/datapath/packet-memory.ts'
import { POLLFD_LENGTH, POLLIN } from '../src/datapath/socket-abi.ts'
import * as tun from '../src/datapath/tun-abi.ts'
import { FaultMaker, type Faults, flipBit, NO_FAULTS, udpHeaderOf } from './faults.ts'

/**
 * A program: a cable between two TAP devices, `left` and `right`, that does to VXLAN what a bad network
 * does. The kernel cuts super-frames and completes checksums before a TAP, so what passes is what would
 * be on a wire. The argument is the UDP port; each line of standard input is an order:
 *
 *   {"faults": Faults}   → "set"
 *   "counts"             → RelayCounts
 *
 * It is alone in its network namespace; the devices are moved to where they are wanted.
 */
export interface RelayCounts {
  /** Datagrams to the port that were read from either side. */
  readonly datagrams: number
  readonly lost: number
  readonly duplicated: number
  readonly reordered: number
  readonly corrupted: number
}

export type RelayOrder = 'counts' | { readonly faults: Faults }

const FRAME = 65_536
/** Frames of one side before the other gets its turn. */
const TURN = 64

interface Waiting {
  readonly due: number
  readonly to: number
  readonly frame: Buffer
}

const memory = new PacketMemory(4 * FRAME, addressOf)
const room = memory.reserve(FRAME)
const port = Number(process.argv[2])
const taps = ['left', 'right'].map(openTap) as [number, number]
const pollfds = memory.reserve(3 * POLLFD_LENGTH)
for (const [index, fd] of [...taps, 0].entries()) {
  memory.words[(pollfds >>> 2) + index * 2] = fd
  memory.words[(pollfds >>> 2) + index * 2 + 1] = POLLIN
}
const isReady = (index: number): boolean =>
  memory.words[(pollfds >>> 2) + index * 2 + 1]! >>> 16 !== 0

let maker = new FaultMaker(NO_FAULTS)
const counts = { datagrams: 0, lost: 0, duplicated: 0, reordered: 0, corrupted: 0 }
/** In order of their time. */
const waiting: Waiting[] = []
let orders = ''

console.log(JSON.stringify('ready'))
for (;;) {
  const next = waiting[0]?.due
  const pause = next === undefined ? -1 : Math.max(0, Math.ceil(next - performance.now()))
  libc.poll(memory.base + pollfds, 3, pause)
  for (const [index, tap] of taps.entries()) {
    if (isReady(index)) pass(tap, taps[1 - index]!)
  }
  if (isReady(2)) takeOrders()
  const now = performance.now()
  const first = waiting.findIndex(({ due }) => due > now)
  const due = waiting.splice(0, first < 0 ? waiting.length : first)
  for (const { to, frame } of due) put(to, frame)
}

function openTap(name: string): number {
  const fd = libc.open('/dev/net/tun', tun.O_RDWR | tun.O_NONBLOCK)
  const ifreq = memory.reserve(tun.IFREQ_LENGTH)
  new TextEncoder().encodeInto(name, memory.bytes.subarray(ifreq))
  memory.words[(ifreq + tun.IFREQ_FLAGS) >>> 2] = tun.IFF_TAP | tun.IFF_NO_PI
  if (fd < 0 || libc.ioctl(fd, tun.TUNSETIFF, memory.base + ifreq) !== 0) {
    throw new Error(`no TAP: errno ${errno()}`)
  }
  return fd
}

function pass(from: number, to: number): void {
  for (let turn = 0; turn < TURN; turn++) {
    const length = libc.read(from, memory.base + room, FRAME)
    if (length < 0) return
    const frame = Buffer.from(memory.bytes.subarray(room, room + length))
    const udp = udpHeaderOf(frame, port)
    if (udp < 0) put(to, frame)
    else treat(frame, udp, to)
  }
}

function treat(frame: Buffer, udp: number, to: number): void {
  const { copies, delayMs, isLate, isCorrupt } = maker.next()
  counts.datagrams++
  if (copies === 0) counts.lost++
  if (copies === 2) counts.duplicated++
  if (isLate) counts.reordered++
  if (isCorrupt) {
    counts.corrupted += copies
    flipBit(frame, udp, maker.below((frame.length - udp - 8) * 8))
  }
  for (let copy = 0; copy < copies; copy++) {
    if (delayMs === 0) put(to, frame)
    else wait({ due: performance.now() + delayMs, to, frame })
  }
}

function wait(entry: Waiting): void {
  let at = waiting.length
  while (at > 0 && waiting[at - 1]!.due > entry.due) at--
  waiting.splice(at, 0, entry)
}

function put(to: number, frame: Buffer): void {
  memory.bytes.set(frame, room)
  libc.write(to, memory.base + room, frame.length)
}

function takeOrders(): void {
  const chunk = Buffer.alloc(4096)
  const length = readSync(0, chunk)
  if (length === 0) process.exit(0)
  orders += chunk.toString('utf8', 0, length)
  for (let end = orders.indexOf('\n'); end >= 0; end = orders.indexOf('\n')) {
    const order = JSON.parse(orders.slice(0, end)) as RelayOrder
    orders = orders.slice(end + 1)
    if (order !== 'counts') maker = new FaultMaker(order.faults)
    console.log(JSON.stringify(order === 'counts' ? counts : 'set'))
  }
}
