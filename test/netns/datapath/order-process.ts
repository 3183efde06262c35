import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { endProgram } from '../../support/end-program.ts'
import type { Netns } from '../../support/netns.ts'
import { programIn } from './two-hosts.ts'

/** A program in a namespace that says one line when it is ready and answers each order with one, all JSON. */
export class OrderProcess implements AsyncDisposable {
  readonly #child: ChildProcess
  readonly #lines: AsyncIterableIterator<string>
  readonly #exited: Promise<unknown>
  #errors = ''

  private constructor(child: ChildProcess) {
    this.#child = child
    this.#lines = createInterface({ input: child.stdout! })[Symbol.asyncIterator]()
    this.#exited = once(child, 'exit')
    child.stderr!.on('data', (chunk) => (this.#errors += String(chunk)))
  }

  /** @throws Error with what the program printed when it does not get ready */
  static async start(host: Netns, ...command: readonly string[]): Promise<OrderProcess> {
    await using stack = new AsyncDisposableStack()
    const started = stack.use(new OrderProcess(programIn(host, ...command)))
    await started.answer()
    stack.move()
    return started
  }

  async ask(order: unknown): Promise<unknown> {
    this.#child.stdin!.write(`${JSON.stringify(order)}\n`)
    return this.answer()
  }

  /** The next line that it says. */
  async answer(): Promise<unknown> {
    const { value, done } = await this.#lines.next()
    if (done) {
      await this.#exited
      throw new Error(`the program ended: ${this.#errors}`)
    }
    return JSON.parse(value)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await endProgram(this.#child)
  }
}
