import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'

/** Kills a program that has not ended yet. Resolves when it is gone. */
export async function endProgram(program: ChildProcess): Promise<void> {
  if (program.exitCode !== null || program.signalCode !== null) return
  const exited = once(program, 'exit')
  program.kill('SIGKILL')
  await exited
}
