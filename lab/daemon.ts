import { spawn, type ChildProcess } from 'node:child_process'
import { closeSync, existsSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { OverlayError } from '../src/errors.ts'
import { waitFor } from '../test/support/wait.ts'
import { LAB_ENV } from './command.ts'
import type { Machine } from './machine.ts'
import { childrenOf, parentOf, samePidNamespace } from './proc.ts'

export interface DaemonSpec {
  /** Names the log and the pid file in the machine's folder. */
  readonly name: string
  readonly argv: readonly string[]
  readonly env?: Readonly<Record<string, string>>
  /** Whether it serves by now; a throw counts as "not yet". */
  readonly ready: () => Promise<boolean>
}

/** A program that keeps running in a machine, found again by its pid file from another process. */
export class Daemon {
  readonly machine: Machine
  readonly name: string

  constructor(machine: Machine, name: string) {
    this.machine = machine
    this.name = name
  }

  /** Starts the program and waits until it serves. @throws OverlayError host_state with the end of its log */
  async start({ argv, env, ready }: Omit<DaemonSpec, 'name'>): Promise<void> {
    if (this.running) {
      throw new OverlayError('conflict', `${this.name} already runs on ${this.machine.name}`)
    }
    const logFile = openSync(this.#path('log'), 'a')
    const [program, ...args] = [...this.machine.enter(), ...argv]
    const child = spawn(program!, args, {
      env: { ...LAB_ENV, ...env },
      detached: true,
      stdio: ['ignore', logFile, logFile],
    })
    closeSync(logFile)
    child.unref()
    child.on('error', () => {})
    try {
      await this.#started(child, ready)
    } catch (cause) {
      throw new OverlayError(
        'host_state',
        `${this.name} did not start on ${this.machine.name}; the end of its log:\n${this.log().split('\n').slice(-20).join('\n')}`,
        { cause },
      )
    }
  }

  async #started(child: ChildProcess, ready: () => Promise<boolean>): Promise<void> {
    const over = (): boolean => child.exitCode !== null || child.signalCode !== null
    const serves = await waitFor(
      async () => {
        if (over()) return 'no'
        const pid = childrenOf(child.pid ?? 0)[0]
        if (pid === undefined) return false
        writeFileSync(this.#path('pid'), String(pid))
        return (await ready()) && 'yes'
      },
      { what: `${this.name} to serve`, timeout: 90_000, every: 20 },
    )
    if (serves === 'no') throw new OverlayError('host_state', `${this.name} ended`)
  }

  /** Its number on the real machine; undefined when it does not run. */
  get pid(): number | undefined {
    if (!existsSync(this.#path('pid'))) return undefined
    const pid = Number(readFileSync(this.#path('pid'), 'utf8'))
    return pid > 0 && samePidNamespace(pid, this.machine.init) ? pid : undefined
  }

  get running(): boolean {
    return this.pid !== undefined
  }

  /** SIGSTOP and SIGCONT pause and resume it; after any other signal the program's end is awaited. */
  async kill(signal: NodeJS.Signals): Promise<void> {
    const pid = this.pid
    if (pid === undefined) return
    process.kill(pid, signal)
    if (signal === 'SIGCONT') {
      // nsenter stops itself with its child, and would not see how that ends.
      const nsenter = parentOf(pid)
      if (nsenter !== undefined) process.kill(nsenter, signal)
    }
    if (signal === 'SIGSTOP' || signal === 'SIGCONT') return
    await waitFor(() => !this.running, {
      what: `${this.name} on ${this.machine.name} to end after ${signal}`,
      timeout: 60_000,
      every: 10,
    })
    rmSync(this.#path('pid'), { force: true })
  }

  /** Everything it has written, over all its starts. */
  log(): string {
    return existsSync(this.#path('log')) ? readFileSync(this.#path('log'), 'utf8') : ''
  }

  #path(kind: 'log' | 'pid'): string {
    return this.machine.path(`${this.name}.${kind}`)
  }
}
