import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { command, LAB_ENV } from '../lab/command.ts'

/** A network namespace, of a container or of nothing else, in which programs of this machine are run. */
export class Place {
  readonly ip: string
  readonly #netns: string

  /** @param netns path of the namespace's file */
  constructor(ip: string, netns: string) {
    this.ip = ip
    this.#netns = netns
  }

  /** Runs a program to its end and gives what it printed. @throws OverlayError host_state */
  async run(...words: readonly string[]): Promise<string> {
    return command(this.#inside(words), { timeout: 300_000 })
  }

  /** Starts a program that serves until it is disposed of. */
  serve(...words: readonly string[]): AsyncDisposable {
    const [program, ...args] = this.#inside(words)
    const child = spawn(program!, args, { env: LAB_ENV, stdio: 'ignore' })
    return {
      async [Symbol.asyncDispose]() {
        if (child.exitCode !== null || child.signalCode !== null) return
        child.kill('SIGKILL')
        await once(child, 'exit')
      },
    }
  }

  // nsenter becomes the program here, so that a signal reaches it.
  #inside(words: readonly string[]): string[] {
    return ['nsenter', `--net=${this.#netns}`, ...words]
  }
}
