import { spawn } from 'node:child_process'
import { OverlayError } from '../src/errors.ts'

export interface CommandOptions {
  /** Text for the program's standard input; nothing unless told. */
  readonly input?: string
  /** Milliseconds after which the program is killed, which only guards against a hang; 180,000 unless told. */
  readonly timeout?: number
  readonly env?: NodeJS.ProcessEnv
}

/** The environment of every program in the lab: a fixed locale, and daemons' folders on the PATH. */
export const LAB_ENV: NodeJS.ProcessEnv = {
  PATH: '/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin',
  HOME: '/root',
  LC_ALL: 'C.UTF-8',
}

/**
 * Runs a program to its end and gives its standard output without the last newline.
 * @throws OverlayError host_state with the command line, the exit code and what it said
 */
export async function command(
  words: readonly string[],
  { input, timeout = 180_000, env = LAB_ENV }: CommandOptions = {},
): Promise<string> {
  const [program, ...args] = words
  if (program === undefined) throw new OverlayError('bad_input', 'a command needs a program')
  const child = spawn(program, args, { env, timeout, killSignal: 'SIGKILL' })
  const stdout: Buffer[] = []
  const stderr: Buffer[] = []
  child.stdout.on('data', (chunk: Buffer) => stdout.push(chunk))
  child.stderr.on('data', (chunk: Buffer) => stderr.push(chunk))
  // A program that ends without reading its input breaks the pipe; its exit code tells enough.
  child.stdin.on('error', () => {})
  child.stdin.end(input ?? '')
  const ending = await new Promise<string | null>((resolve) => {
    child.on('error', (error) => resolve(error.message))
    child.on('close', (code, signal) => resolve(code === 0 ? null : endingOf(code, signal)))
  })
  const out = Buffer.concat(stdout).toString().replace(/\n$/, '')
  if (ending === null) return out
  const said = Buffer.concat(stderr).toString().trim() || out.slice(-2000)
  throw new OverlayError('host_state', `${words.join(' ')}: ${ending}: ${said}`)
}

/** As `command`, but a failure is nothing to speak of: for clean-up of what may be gone already. */
export async function tryCommand(words: readonly string[]): Promise<string> {
  return command(words).catch(() => '')
}

function endingOf(code: number | null, signal: NodeJS.Signals | null): string {
  return signal === null ? `exit ${code}` : `killed by ${signal}`
}
