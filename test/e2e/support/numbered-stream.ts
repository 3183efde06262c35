import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { argv } from '../../../lab/argv.ts'
import { LAB_ENV } from '../../../lab/command.ts'
import type { Container } from '../../../lab/container.ts'
import { OverlayError } from '../../../src/errors.ts'
import { waitFor } from '../../support/wait.ts'

export interface StreamReport {
  /** 32-bit numbers given to the sender's socket, and those that came out at the other end. */
  readonly sent: number
  readonly received: number
  /** The longest time in which nothing arrived, in milliseconds. */
  readonly longestGapMs: number
}

/** What every stream begins with: time for the connection, none of it counted as a gap. */
const FIRST_MS = 60_000
const EVERY_MS = 5
/** Numbers written each time: 0.8 MB/s over TCP, and one to a datagram. */
const BATCH = { tcp: 1024, udp: 1 } as const

/**
 * Numbers 0, 1, 2, … sent from one container to another all the time, over one TCP connection or in
 * UDP datagrams of one number each. Every byte that arrives is checked: over TCP nothing may be
 * missing, twice or wrong; over UDP a number may be missing but none may come twice or out of order.
 */
export class NumberedStream implements AsyncDisposable {
  readonly #kind: 'tcp' | 'udp'
  readonly #receiver: ChildProcess
  readonly #sender: ChildProcess
  #sent = 0
  #received = 0
  #next = 0
  #rest = Buffer.alloc(0)
  #lastArrival = 0
  #longestGap = 0
  #fault: string | null = null
  #stopping = false
  #writing: Promise<void>

  private constructor(kind: 'tcp' | 'udp', receiver: ChildProcess, sender: ChildProcess) {
    this.#kind = kind
    this.#receiver = receiver
    this.#sender = sender
    receiver.stdout!.on('data', (chunk: Buffer) => this.#take(chunk))
    sender.stdin!.on('error', () => {})
    this.#writing = this.#write()
  }

  /** Starts the stream and waits until it flows. `ip` is the receiver's address, of either family, on the network tried. */
  static async start(
    kind: 'tcp' | 'udp',
    from: Container,
    to: Container,
    { ip, port }: { readonly ip: string; readonly port: number },
  ): Promise<NumberedStream> {
    const [family, at] = ip.includes(':') ? [6, `[${ip}]:${port}`] : [4, `${ip}:${port}`]
    const [listen, connect] =
      kind === 'tcp'
        ? [`TCP${family}-LISTEN:${port},reuseaddr`, `TCP${family}:${at},retry=240,interval=0.25`]
        : [`UDP${family}-RECV:${port}`, `UDP${family}-SENDTO:${at}`]
    const receiver = await inNetworkOf(to, ['socat', '-u', listen, '-'])
    const sender = await inNetworkOf(from, ['socat', '-u', '-', connect])
    const stream = new NumberedStream(kind, receiver, sender)
    try {
      await stream.flows(FIRST_MS)
    } catch (error) {
      await stream[Symbol.asyncDispose]()
      throw error
    }
    stream.#longestGap = 0
    return stream
  }

  /** The longest silence since the start or the last call of `forgetGaps`, in milliseconds. */
  get longestGapMs(): number {
    return Math.round(Math.max(this.#longestGap, performance.now() - this.#lastArrival))
  }

  forgetGaps(): void {
    this.#longestGap = 0
    this.#lastArrival = performance.now()
  }

  /** Waits until numbers arrive that were sent after this call. @throws OverlayError host_state */
  async flows(timeout = 60_000): Promise<void> {
    const sentByNow = this.#sent
    await waitFor(() => this.#fault !== null || this.#next > sentByNow, {
      what: `the ${this.#kind} stream to flow (${this.#received} of ${this.#sent} numbers arrived)`,
      timeout,
      every: 5,
    })
    this.#refuseFault()
  }

  /** Ends the sender and, over TCP, waits until the receiver has all of it. @throws OverlayError host_state */
  async finish(): Promise<StreamReport> {
    await this.#stopWriting()
    if (this.#kind === 'tcp') {
      await waitFor(() => this.#receiver.exitCode !== null, {
        what: `the connection to end (${this.#received} of ${this.#sent} numbers arrived)`,
        timeout: 30_000,
      })
      this.#refuseFault()
      if (this.#received !== this.#sent || this.#rest.length > 0) {
        throw new OverlayError(
          'host_state',
          `${this.#sent} numbers were sent over TCP and ${this.#received} arrived`,
        )
      }
    }
    this.#refuseFault()
    return { sent: this.#sent, received: this.#received, longestGapMs: this.longestGapMs }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stopWriting()
    for (const child of [this.#sender, this.#receiver]) {
      if (child.exitCode === null && child.signalCode === null) {
        child.kill('SIGKILL')
        await once(child, 'exit')
      }
    }
  }

  async #stopWriting(): Promise<void> {
    this.#stopping = true
    await this.#writing
    this.#sender.stdin!.end()
  }

  async #write(): Promise<void> {
    const count = BATCH[this.#kind]
    while (!this.#stopping && this.#sender.exitCode === null) {
      const batch = Buffer.alloc(4 * count)
      for (let at = 0; at < count; at++) batch.writeUInt32BE(this.#sent + at, 4 * at)
      this.#sent += count
      // A blocked connection blocks the writer, as it would any program.
      if (!this.#sender.stdin!.write(batch)) {
        await waitFor(() => this.#stopping || !this.#sender.stdin!.writableNeedDrain, {
          what: 'the sender to take more',
          timeout: 300_000,
          every: 1,
        })
      }
      await sleep(EVERY_MS)
    }
  }

  #take(chunk: Buffer): void {
    const now = performance.now()
    if (this.#lastArrival > 0) {
      this.#longestGap = Math.max(this.#longestGap, now - this.#lastArrival)
    }
    this.#lastArrival = now
    const bytes = Buffer.concat([this.#rest, chunk])
    const whole = bytes.length - (bytes.length % 4)
    for (let at = 0; at < whole; at += 4) {
      const number = bytes.readUInt32BE(at)
      const isRight = this.#kind === 'tcp' ? number === this.#next : number >= this.#next
      if (!isRight) this.#fault ??= `number ${number} arrived where ${this.#next} was due`
      this.#next = number + 1
      this.#received += 1
    }
    this.#rest = bytes.subarray(whole)
  }

  #refuseFault(): void {
    if (this.#fault !== null) throw new OverlayError('host_state', this.#fault)
  }
}

/** A process of ours in the container's network, so that it outlives dockerd and ends when it is told to. */
async function inNetworkOf(container: Container, words: readonly string[]): Promise<ChildProcess> {
  const pid = await container.pid()
  const [program, ...args] = [
    ...argv`setpriv --pdeathsig KILL nsenter --target ${container.host.machine.init} --mount --`,
    ...argv`nsenter --target ${pid} --net --`,
    ...words,
  ]
  return spawn(program!, args, { env: LAB_ENV, stdio: ['pipe', 'pipe', 'inherit'] })
}
