import type { Heard, Load, Sent } from '../../support/run-udp-load.ts'
import { OrderProcess } from '../../../lab/order-process.ts'
import type { Site } from './sites.ts'
import { programIn } from './two-hosts.ts'

const PROGRAM = new URL('../../support/run-udp-load.ts', import.meta.url).pathname

/** Where all listeners listen. */
const PORT = 47_002

type LoadTo = Omit<Load, 'from' | 'to' | 'port'>

/** A program in a site's container that sends UDP at a rate. */
export class LoadSource implements AsyncDisposable {
  readonly #process: OrderProcess
  readonly #site: Site

  private constructor(process: OrderProcess, site: Site) {
    this.#process = process
    this.#site = site
  }

  static async start(site: Site): Promise<LoadSource> {
    return new LoadSource(
      await OrderProcess.start(programIn(site.container, process.execPath, PROGRAM)),
      site,
    )
  }

  async send(to: Site, load: LoadTo): Promise<Sent> {
    const ends = { from: this.#site.address(), to: to.address(), port: PORT }
    return (await this.#process.ask({ send: { ...ends, ...load } })) as Sent
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#process[Symbol.asyncDispose]()
  }
}

/** A program in a site's container that counts what arrives there. */
export class LoadSink implements AsyncDisposable {
  readonly #process: OrderProcess

  private constructor(process: OrderProcess) {
    this.#process = process
  }

  static async start(site: Site): Promise<LoadSink> {
    const started = await OrderProcess.start(programIn(site.container, process.execPath, PROGRAM))
    await started.ask({ listen: [site.address(), PORT] })
    return new LoadSink(started)
  }

  /** What arrived since the last call. */
  async heard(): Promise<Heard> {
    return (await this.#process.ask('heard')) as Heard
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#process[Symbol.asyncDispose]()
  }
}
