import type { Container } from '../../../lab/container.ts'
import { NumberedStream } from './numbered-stream.ts'

/** One flow to keep an eye on. */
export interface FlowSpec {
  /** As a table's column has it. */
  readonly name: string
  readonly kind: 'tcp' | 'udp'
  readonly from: Container
  readonly to: Container
  /** The receiver's address. */
  readonly ip: string
  readonly port: number
}

/** Flows that go on all the time, to tell for how long each is interrupted by what is done meanwhile. */
export class Traffic implements AsyncDisposable {
  readonly #flows: readonly { readonly name: string; readonly stream: NumberedStream }[]

  private constructor(flows: Traffic['flows']) {
    this.#flows = flows
  }

  static async start(specs: readonly FlowSpec[]): Promise<Traffic> {
    await using cleanUp = new AsyncDisposableStack()
    const flows = await Promise.all(
      specs.map(async ({ name, kind, from, to, ip, port }) => ({
        name,
        stream: cleanUp.use(await NumberedStream.start(kind, from, to, { ip, port })),
      })),
    )
    cleanUp.move()
    return new Traffic(flows)
  }

  get flows(): readonly { readonly name: string; readonly stream: NumberedStream }[] {
    return this.#flows
  }

  get names(): string[] {
    return this.#flows.map(({ name }) => name)
  }

  /** Waits until every flow goes on. @throws OverlayError host_state */
  async goesOn(): Promise<void> {
    for (const { stream } of this.#flows) await stream.flows(90_000)
  }

  /**
   * Does something, waits until every flow goes on, and gives each one's longest silence in milliseconds.
   * @throws OverlayError host_state when one does not, or over TCP a byte was lost
   */
  async during(body: () => Promise<unknown>): Promise<Record<string, number>> {
    await this.goesOn()
    for (const { stream } of this.#flows) stream.forgetGaps()
    await body()
    await this.goesOn()
    return Object.fromEntries(this.#flows.map(({ name, stream }) => [name, stream.longestGapMs]))
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#flows.map(({ stream }) => stream[Symbol.asyncDispose]()))
  }
}
