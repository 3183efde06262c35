import { spawn } from 'node:child_process'
import { OverlayError } from '../src/errors.ts'

export interface ProgramOptions {
  /** Show what it prints on standard error as it comes, instead of giving it back; false unless told. */
  readonly shown?: boolean
  /** What to do when it is not installed, said after "NAME is not installed". */
  readonly install?: string
}

/**
 * Runs a program to its end, in the project's folder, and gives its standard output without the last newline.
 * @throws OverlayError host_state with the command line, how it ended and what it said
 */
export async function runProgram(
  words: readonly string[],
  { shown = false, install = '' }: ProgramOptions = {},
): Promise<string> {
  const [program = '', ...args] = words
  const child = spawn(program, args, {
    cwd: new URL('..', import.meta.url),
    stdio: ['ignore', shown ? 2 : 'pipe', shown ? 2 : 'pipe'],
  })
  const stdout: Buffer[] = []
  const stderr: Buffer[] = []
  child.stdout?.on('data', (chunk: Buffer) => stdout.push(chunk))
  child.stderr?.on('data', (chunk: Buffer) => stderr.push(chunk))
  const ending = await new Promise<string | null>((resolve) => {
    child.on('error', (error: NodeJS.ErrnoException) => {
      resolve(error.code === 'ENOENT' ? `${program} is not installed${install}` : error.message)
    })
    child.on('close', (code, signal) => resolve(code === 0 ? null : (signal ?? `exit ${code}`)))
  })
  if (ending === null) return Buffer.concat(stdout).toString().replace(/\n$/, '')
  const said = Buffer.concat(stderr).toString().trim()
  const command = words.join(' ')
  throw new OverlayError('host_state', `${command}: ${ending}${said === '' ? '' : `: ${said}`}`)
}
