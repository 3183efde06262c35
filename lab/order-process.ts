import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'

/** A program that says one line when it is ready and answers each order with one, all JSON. */
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
  static async start(child: ChildProcess): Promise<OrderProcess> {
    await using stack = new AsyncDisposableStack()
    const started = stack.use(new OrderProcess(child))
    await started.answer()
    stack.move()
    return started
  }

  get pid(): number {
    return this.#child.pid!
  }

  get exitCode(): number | null {
    return this.#child.exitCode
  }

  /** Gives an order whose answer is not waited for. */
  tell(order: unknown, toJson: (order: unknown) => string = JSON.stringify): void {
    this.#child.stdin!.write(`${toJson(order)}\n`)
  }

  async ask(order: unknown, toJson?: (order: unknown) => string): Promise<unknown> {
    this.tell(order, toJson)
    return this.answer()
  }

  /** The next line that it says. */
  async answer(): Promise<unknown> {
    const { value, done } = await this.#lines.next()
    if (done) throw new Error(`the program ended: ${await this.ended()}`)
    return JSON.parse(value)
  }

  /** Resolves with what it complained of when it ends. */
  async ended(): Promise<string> {
    await this.#exited
    return this.#errors
  }

  async kill(): Promise<void> {
    this.#child.kill('SIGKILL')
    await this.#exited
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#child.exitCode === null && this.#child.signalCode === null) await this.kill()
  }
}
