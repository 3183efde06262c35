import { spawn, type ChildProcessByStdio } from 'node:child_process'
import { once } from 'node:events'
import type { Readable, Writable } from 'node:stream'
import { command, LAB_ENV } from '../lab/command.ts'

/** A program with its standard input and output at hand; what it complains of is shown as it comes. */
export type Dialogue = ChildProcessByStdio<Writable, Readable, null>

/** A network namespace, of a container or of nothing else, in which programs of this machine are run. */
export class Place {
  readonly ip: string
  /** Path of the namespace's file. */
  readonly netns: string
  /** The one core on which programs are started; all when null. */
  core: number | null = null

  constructor(ip: string, netns: string) {
    this.ip = ip
    this.netns = netns
  }

  /** Runs a program to its end and gives what it printed. @throws OverlayError host_state */
  async run(...words: readonly string[]): Promise<string> {
    return command(this.inside(words), { timeout: 300_000 })
  }

  /** Starts a program that is spoken with on its standard input and output; it is the caller's to end. */
  start(...words: readonly string[]): Dialogue {
    const [program, ...args] = this.inside(words)
    return spawn(program!, args, { env: LAB_ENV, stdio: ['pipe', 'pipe', 'inherit'] })
  }

  /** Starts a program that serves until it is disposed of. */
  serve(...words: readonly string[]): AsyncDisposable {
    const [program, ...args] = this.inside(words)
    const child = spawn(program!, args, { env: LAB_ENV, stdio: 'ignore' })
    return {
      async [Symbol.asyncDispose]() {
        if (child.exitCode !== null || child.signalCode !== null) return
        const ended = once(child, 'exit')
        child.kill('SIGKILL')
        await ended
      },
    }
  }

  /** The words that run a program here. nsenter and taskset become the program, so that a signal reaches it. */
  inside(words: readonly string[]): string[] {
    const pinned = this.core === null ? [] : ['taskset', '-c', String(this.core)]
    return ['nsenter', `--net=${this.netns}`, ...pinned, ...words]
  }
}
