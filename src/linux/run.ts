import { execFile, spawn, type ChildProcess, type ExecFileException } from 'node:child_process'
import { channel } from 'node:diagnostics_channel'
import { OverlayError } from '../errors.ts'

/** Host programs live in the system folders; messages are parsed, so the locale is fixed. */
const ENVIRONMENT = {
  LC_ALL: 'C',
  PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
}
const DEFAULT_TIMEOUT_MS = 5000
const MAX_OUTPUT = 256 * 1024 * 1024

/** Publishes the argument vector of every program started; costs nothing while nobody listens. */
export const programStarts = channel('overlay-ts.program-start')

export interface RunOptions {
  readonly input?: string
  readonly timeoutMs?: number
  readonly signal?: AbortSignal
  /** Added to the environment of all programs. */
  readonly env?: Readonly<Record<string, string>>
  /** Exit codes other than 0 that are an answer and not a failure. */
  readonly accept?: readonly number[]
}

export interface Output {
  readonly code: number
  readonly stdout: string
  readonly stderr: string
}

/**
 * Runs a host program to its end, without a shell, in this process's namespaces.
 * @throws OverlayError host_state, with the command line, how it ended and what it printed
 */
export function run(
  program: string,
  args: readonly string[],
  options: RunOptions = {},
): Promise<Output> {
  programStarts.publish([program, ...args])
  return new Promise((resolve, reject) => {
    const child = execFile(
      program,
      args,
      {
        env: { ...ENVIRONMENT, ...options.env },
        timeout: options.timeoutMs ?? DEFAULT_TIMEOUT_MS,
        killSignal: 'SIGKILL',
        maxBuffer: MAX_OUTPUT,
        ...(options.signal && { signal: options.signal }),
      },
      (error, stdout, stderr) => {
        const code = error === null ? 0 : error.code
        if (code === 0 || (typeof code === 'number' && options.accept?.includes(code))) {
          resolve({ code, stdout, stderr })
        } else {
          reject(failure([program, ...args], error, stderr, options))
        }
      },
    )
    // A program that refuses its arguments exits before it reads: its own message says why.
    child.stdin?.on('error', () => undefined)
    child.stdin?.end(options.input)
  })
}

/** Starts a host program that stays; its standard input is empty, both outputs are pipes. */
export function startProgram(program: string, args: readonly string[]): ChildProcess {
  programStarts.publish([program, ...args])
  return spawn(program, args, { env: ENVIRONMENT, stdio: ['ignore', 'pipe', 'pipe'] })
}

/** Whether the failure was that the program is not installed. */
export function isMissingProgram(error: unknown): boolean {
  return (
    error instanceof OverlayError &&
    error.cause instanceof Error &&
    'code' in error.cause &&
    error.cause.code === 'ENOENT'
  )
}

function failure(
  command: readonly string[],
  error: ExecFileException | null,
  stderr: string,
  options: RunOptions,
): OverlayError {
  return new OverlayError(
    'host_state',
    `${command.join(' ')}: ${ending(command, error, options)}${stderr.trim() && `: ${stderr.trim()}`}`,
    { cause: error },
  )
}

function ending(
  command: readonly string[],
  error: ExecFileException | null,
  options: RunOptions,
): string {
  if (error?.code === 'ENOENT') return `the program ${command[0]} is not installed on this host`
  if (error?.name === 'AbortError') return 'stopped before it ended'
  if (error?.killed) return `no end within ${options.timeoutMs ?? DEFAULT_TIMEOUT_MS} ms`
  if (error?.signal) return `killed by ${error.signal}`
  return typeof error?.code === 'number' ? `exit ${error.code}` : (error?.message ?? 'failed')
}
