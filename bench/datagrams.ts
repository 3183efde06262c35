import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { argv } from '../lab/argv.ts'
import { command } from '../lab/command.ts'
import { Conversation } from './conversation.ts'
import type { Probe } from './rate-search.ts'
import type { Subject } from './subjects/subject.ts'

const SOURCE = join(import.meta.dirname, 'udp-rate.c')

const COUNT_PORT = 7701
const ECHO_PORT = 7702

/** Before the datagrams that count: the queues on the way are full when those begin. */
const WARM_MS = 60

let built: Promise<string> | undefined

/** Compiles udp-rate.c once in a process; gone when the process ends. */
async function program(): Promise<string> {
  built ??= (async () => {
    const folder = mkdtempSync(join(tmpdir(), 'overlay-ts-bench-'))
    process.once('exit', () => rmSync(folder, { recursive: true, force: true }))
    const file = join(folder, 'udp-rate')
    await command(argv`cc -O2 -o ${file} ${SOURCE} -lm -lpthread`)
    return file
  })()
  return built
}

/** Offers datagrams to a subject at a steady rate, and counts what arrives. */
export class DatagramFlow implements AsyncDisposable {
  readonly #sink: Conversation
  readonly #sender: Conversation
  #run = 0

  private constructor(sink: Conversation, sender: Conversation) {
    this.#sink = sink
    this.#sender = sender
  }

  static async open({ client, server }: Subject): Promise<DatagramFlow> {
    const file = await program()
    const sink = await Conversation.start(server, file, 'sink', `${COUNT_PORT}`)
    try {
      const words = [file, 'send', server.ip, `${COUNT_PORT}`]
      return new DatagramFlow(sink, await Conversation.start(client, ...words))
    } catch (error) {
      await sink[Symbol.asyncDispose]()
      throw error
    }
  }

  /** @param size of a datagram's payload in bytes @param rate datagrams a second */
  async offer(size: number, rate: number, seconds: number): Promise<Probe> {
    const run = ++this.#run
    const words = `${run} ${size} ${rate.toFixed(0)} ${WARM_MS} ${(seconds * 1000).toFixed(0)}`
    const sent = await this.#sender.ask(words, seconds + 10)
    const received = await this.#sink.ask(String(run), 10)
    const [count, microseconds] = sent.split(' ').map(Number)
    const scale = 1e6 / microseconds!
    return { offered: count! * scale, delivered: Number(received) * scale }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#sender[Symbol.asyncDispose]()
    await this.#sink[Symbol.asyncDispose]()
  }
}

/** Round trips of one flow, in µs; of a lost datagram infinite. */
export interface PingTimes {
  /** Share of datagrams that were answered. */
  readonly answered: number
  readonly p50: number
  readonly p99: number
  readonly p999: number
}

/** A quiet flow: one datagram at a time, at times of its own whether answered or not. */
export class QuietFlow implements AsyncDisposable {
  readonly #echo: AsyncDisposable
  readonly #pinger: Conversation

  private constructor(echo: AsyncDisposable, pinger: Conversation) {
    this.#echo = echo
    this.#pinger = pinger
  }

  static async open({ client, server }: Subject): Promise<QuietFlow> {
    const file = await program()
    const echo = await Conversation.start(server, file, 'echo', `${ECHO_PORT}`)
    try {
      const words = [file, 'ping', server.ip, `${ECHO_PORT}`]
      return new QuietFlow(echo, await Conversation.start(client, ...words))
    } catch (error) {
      await echo[Symbol.asyncDispose]()
      throw error
    }
  }

  /** @param interval µs between two datagrams */
  async ping(size: number, count: number, interval: number): Promise<PingTimes> {
    const seconds = (count * interval) / 1e6
    const answer = await this.#pinger.ask(`${size} ${count} ${interval}`, seconds + 10)
    const [answered, ...times] = answer.split(' ')
    const [p50, p99, p999] = times.map((time) => (time === 'inf' ? Infinity : Number(time)))
    return { answered: Number(answered) / count, p50: p50!, p99: p99!, p999: p999! }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#pinger[Symbol.asyncDispose]()
    await this.#echo[Symbol.asyncDispose]()
  }
}
