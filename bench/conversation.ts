import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { OverlayError } from '../src/errors.ts'
import type { Dialogue, Place } from './place.ts'

/** A running program that answers each line with a line. */
export class Conversation implements AsyncDisposable {
  readonly #words: readonly string[]
  readonly #child: Dialogue
  readonly #lines: AsyncIterator<string>

  private constructor(place: Place, words: readonly string[]) {
    this.#words = words
    this.#child = place.start(...words)
    // That it did not start, or has ended, is told by the answer that does not come.
    this.#child.on('error', () => {})
    this.#child.stdin.on('error', () => {})
    this.#lines = createInterface({ input: this.#child.stdout })[Symbol.asyncIterator]()
  }

  /** Starts the program and waits for its first line. @throws OverlayError host_state */
  static async start(place: Place, ...words: readonly string[]): Promise<Conversation> {
    const conversation = new Conversation(place, words)
    try {
      await conversation.#answer(10)
      return conversation
    } catch (error) {
      await conversation[Symbol.asyncDispose]()
      throw error
    }
  }

  /** @throws OverlayError host_state when the program ends, or says nothing in time */
  async ask(line: string, seconds: number): Promise<string> {
    this.#child.stdin.write(`${line}\n`)
    return this.#answer(seconds)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const { pid, exitCode, signalCode } = this.#child
    if (pid === undefined || exitCode !== null || signalCode !== null) return
    const ended = once(this.#child, 'exit')
    this.#child.kill('SIGKILL')
    await ended
  }

  async #answer(seconds: number): Promise<string> {
    let timer: NodeJS.Timeout | undefined
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => reject(this.#failure(`no answer in ${seconds} s`)), seconds * 1000)
    })
    try {
      const { value, done } = await Promise.race([this.#lines.next(), late])
      if (done !== true) return value
    } finally {
      clearTimeout(timer)
    }
    throw this.#failure('ended')
  }

  #failure(what: string): OverlayError {
    return new OverlayError('host_state', `${this.#words.join(' ')}: ${what}`)
  }
}
