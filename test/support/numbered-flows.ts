import { createSocket, type Socket } from 'node:dgram'
import { once } from 'node:events'
import { setImmediate as turn, setTimeout as sleep } from 'node:timers/promises'

/**
 * One end of several UDP flows between two addresses, run on both hosts at once. Flow i has port
 * FIRST_PORT + i at both ends and carries numbered datagrams both ways; the last `fragmented` of the
 * flows carry datagrams that do not fit into one packet. Prints a FlowReport, and goes on telling the
 * other end that it is done until it is killed.
 */
export interface FlowSetup {
  readonly own: string
  readonly peer: string
  readonly flows: number
  readonly fragmented: number
  /** Datagrams of each flow. */
  readonly count: number
}

export interface FlowReport {
  /** Of each flow. */
  readonly received: readonly number[]
  /** Datagrams that came after a later one of their flow. */
  readonly late: readonly number[]
}

const FIRST_PORT = 7000
const HELLO = 0xffff_fffe
const END = 0xffff_ffff
const BURST = 8

class Flow {
  received = 0
  late = 0
  isMet = false
  isOver = false
  readonly #socket: Socket
  readonly #setup: FlowSetup
  readonly #index: number
  #last = -1

  constructor(setup: FlowSetup, index: number) {
    this.#setup = setup
    this.#index = index
    this.#socket = createSocket('udp4')
    this.#socket.on('message', (message) => this.#take(message.readUInt32BE()))
  }

  async open(): Promise<void> {
    this.#socket.bind(FIRST_PORT + this.#index, this.#setup.own)
    await once(this.#socket, 'listening')
    this.#socket.setRecvBufferSize(4_000_000)
  }

  send(number: number): Promise<unknown> {
    const isFragmented = this.#index >= this.#setup.flows - this.#setup.fragmented
    const length = isFragmented ? 3000 : 64 + (number % 5) * 250
    const datagram = Buffer.alloc(length)
    datagram.writeUInt32BE(number)
    return new Promise((resolve) => {
      // A datagram that the kernel refuses is one that is lost.
      this.#socket.send(datagram, FIRST_PORT + this.#index, this.#setup.peer, resolve)
    })
  }

  #take(number: number): void {
    this.isMet = true
    if (number === END) this.isOver = true
    if (number >= HELLO) return
    this.received++
    if (number < this.#last) this.late++
    else this.#last = number
  }
}

async function main(): Promise<void> {
  const setup = JSON.parse(process.argv[2] ?? '{}') as FlowSetup
  const flows = Array.from({ length: setup.flows }, (_, index) => new Flow(setup, index))
  for (const flow of flows) await flow.open()
  // Both directions are there before anything counts.
  do {
    for (const flow of flows) await flow.send(HELLO)
    await sleep(50)
  } while (flows.some((flow) => !flow.isMet))
  for (let number = 0; number < setup.count; number++) {
    for (const flow of flows) void flow.send(number)
    if (number % BURST === 0) await turn()
  }
  for (let isTold = false; ; await sleep(50)) {
    for (const flow of flows) await flow.send(END)
    if (isTold || flows.some((flow) => !flow.isOver)) continue
    isTold = true
    const report: FlowReport = {
      received: flows.map(({ received }) => received),
      late: flows.map(({ late }) => late),
    }
    console.log(JSON.stringify(report))
  }
}

// Started as a program, not imported for its types.
if (process.argv[1] === import.meta.filename) await main()
