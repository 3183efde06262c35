import { createInterface } from 'node:readline'
import { setImmediate as turn } from 'node:timers/promises'
import { SOL_UDP, UDP_SEGMENT } from '../../src/datapath/socket-abi.ts'
import { messageOf } from '../../src/errors.ts'
import { DatagramSocket } from './datagram-socket.ts'

/**
 * A program that sends numbered datagrams at a rate, or counts those that arrive; one order and one
 * answer a line, in JSON.
 *
 *   {"send": Load}              → Sent, when all is sent
 *   {"listen": [address, port]} → "listening"; it counts from then on
 *   "heard"                     → Heard, of what arrived since it was last asked
 *
 * A datagram begins with its flow, its number in the flow (of all orders) and its time of sending.
 */
export interface Load {
  readonly from: string
  readonly to: string
  readonly port: number
  /** Bytes of UDP payload, at least HEADER. */
  readonly size: number
  /** Of all flows, a second. Fewer where the machine is busy: what counts is what was sent. */
  readonly rate: number
  readonly milliseconds: number
  /** Source ports that take turns; 1 unless told. */
  readonly flows?: number
  /** Datagrams that the kernel is handed at once, to be cut; 1 unless told. */
  readonly together?: number
}

export interface Sent {
  readonly sent: number
  readonly milliseconds: number
}

export interface Heard {
  readonly received: number
  readonly duplicates: number
  /** Of each flow. */
  readonly flows: readonly FlowHeard[]
}

export interface FlowHeard {
  readonly received: number
  /** Median of the milliseconds on the way. */
  readonly p50: number
}

export type LoadOrder = { readonly send: Load } | { readonly listen: [string, number] } | 'heard'

const HEADER = 24
/** What it catches up with at once after it was kept from running. */
const BURST = 64
const RECEIVE_TURN_MS = 5
/** It may come faster than it is counted. */
const DRAIN_MS = 1000

/** Milliseconds of one clock for all processes of a machine. */
function now(): number {
  const [seconds, nanoseconds] = process.hrtime()
  return seconds * 1e3 + nanoseconds / 1e6
}

/** What each flow has sent since the program began. */
const numbers: number[] = []

function send({ from, to, port, size, rate, milliseconds, ...rest }: Load): Sent {
  const { flows = 1, together = 1 } = rest
  using sockets = new DisposableStack()
  const lanes = Array.from({ length: flows }, () => {
    const socket = sockets.use(new DatagramSocket())
    socket.bind(from)
    socket.to(to, port)
    if (together > 1) socket.set(SOL_UDP, UDP_SEGMENT, size)
    const header = new DataView(socket.out.buffer, socket.out.byteOffset)
    return { socket, header }
  })
  while (numbers.length < flows) numbers.push(0)
  const started = now()
  let [sent, credit] = [0, 0]
  for (let last = started; last - started < milliseconds;) {
    const time = now()
    credit = Math.min(BURST * together, credit + ((time - last) * rate) / 1000)
    last = time
    if (credit < together) {
      lanes[0]!.socket.receive(1)
      continue
    }
    for (; credit >= together; credit -= together) {
      const flow = (sent / together) % flows
      const lane = lanes[flow]!
      for (let piece = 0; piece < together; piece++) {
        lane.header.setFloat64(piece * size, flow)
        lane.header.setFloat64(piece * size + 8, numbers[flow]!++)
        lane.header.setFloat64(piece * size + 16, now())
      }
      const error = lane.socket.send(size * together)
      if (error !== 0) throw new Error(`sending failed: errno ${error}`)
      sent += together
    }
  }
  return { sent, milliseconds: now() - started }
}

class Listener {
  readonly #socket = new DatagramSocket()
  #flows: { seen: Set<number>; times: number[] }[] = []
  #duplicates = 0

  constructor(address: string, port: number) {
    this.#socket.bind(address, port)
    void this.#run()
  }

  heard(): Heard {
    // What has arrived counts as heard, however long this program was kept from running.
    this.#take(now() + DRAIN_MS, 0)
    const flows = this.#flows.map(({ seen, times }) => ({
      received: seen.size,
      p50: times.toSorted((x, y) => x - y)[times.length >>> 1] ?? 0,
    }))
    const received = flows.reduce((sum, flow) => sum + flow.received, 0)
    const duplicates = this.#duplicates
    this.#flows = []
    this.#duplicates = 0
    return { received, duplicates, flows }
  }

  async #run(): Promise<never> {
    for (;;) {
      this.#take(now() + RECEIVE_TURN_MS, RECEIVE_TURN_MS)
      await turn()
    }
  }

  /** Until a moment in time, or until nothing comes for some milliseconds. */
  #take(until: number, patience: number): void {
    const bytes = this.#socket.in
    const header = new DataView(bytes.buffer, bytes.byteOffset)
    while (now() < until && this.#socket.receive(patience) >= HEADER) {
      const flow = header.getFloat64(0)
      while (this.#flows.length <= flow) this.#flows.push({ seen: new Set(), times: [] })
      const { seen, times } = this.#flows[flow]!
      const number = header.getFloat64(8)
      times.push(now() - header.getFloat64(16))
      if (seen.has(number)) this.#duplicates++
      seen.add(number)
    }
  }
}

async function main(): Promise<void> {
  console.log(JSON.stringify('ready'))
  let listener: Listener | undefined
  for await (const line of createInterface({ input: process.stdin })) {
    const order = JSON.parse(line) as LoadOrder
    if (order === 'heard') console.log(JSON.stringify(listener?.heard()))
    else if ('send' in order) console.log(JSON.stringify(send(order.send)))
    else {
      listener = new Listener(...order.listen)
      console.log(JSON.stringify('listening'))
    }
  }
  process.exit(0)
}

// Started as a program, not imported for its types.
if (process.argv[1] === import.meta.filename) {
  await main().catch((error: unknown) => {
    console.error(messageOf(error))
    process.exit(1)
  })
}
