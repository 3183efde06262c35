import { spawn } from 'node:child_process'
import { command } from './command.ts'
import type { Faults } from './faults.ts'
import { OrderProcess } from './order-process.ts'
import type { RelayCounts, RelayOrder } from './run-relay.ts'

const PROGRAM = new URL('run-relay.ts', import.meta.url).pathname

/** Frames that a device holds for the relay: what a switch's buffer is. */
const QUEUE = 10_000

/** A device of the relay, and the namespace and name that it is to have. */
export interface RelayEnd {
  readonly netns: string
  readonly device: string
}

/**
 * A cable between two namespaces that loses, doubles, delays, reorders and corrupts datagrams to a UDP
 * port, as the kernel's netem does where it is built in. Its devices go with it.
 */
export class Relay implements AsyncDisposable {
  readonly #program: OrderProcess

  private constructor(program: OrderProcess) {
    this.#program = program
  }

  /** Makes a device in each namespace, down and without addresses, and connects them. */
  static async between(left: RelayEnd, right: RelayEnd, port: number): Promise<Relay> {
    // In a nameless namespace of its own: two devices of these names are nobody else's concern.
    const words = ['--net', process.execPath, PROGRAM, String(port)]
    await using stack = new AsyncDisposableStack()
    const started = await OrderProcess.start(spawn('unshare', words, { stdio: 'pipe' }))
    const relay = stack.use(new Relay(started))
    const inside = ['nsenter', `--net=/proc/${started.pid}/ns/net`, 'ip', 'link', 'set', 'dev']
    for (const [name, { netns, device }] of Object.entries({ left, right })) {
      await command([...inside, name, 'txqueuelen', String(QUEUE), 'netns', netns, 'name', device])
    }
    stack.move()
    return relay
  }

  /** From the next datagram on. */
  async use(faults: Faults): Promise<void> {
    await this.#ask({ faults })
  }

  /** Since it was made. */
  async counts(): Promise<RelayCounts> {
    return (await this.#ask('counts')) as RelayCounts
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#program[Symbol.asyncDispose]()
  }

  #ask(order: RelayOrder): Promise<unknown> {
    return this.#program.ask(order)
  }
}
