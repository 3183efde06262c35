import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { availableParallelism } from 'node:os'
import { LAB_ENV } from '../lab/command.ts'

/**
 * Keeps every core from falling asleep, by a program each that runs only when nothing else wants to
 * (SCHED_IDLE): what is measured meanwhile has no waking up of an idle core in it, which takes longer
 * than all else on a virtual machine.
 */
export function keepAwake(): AsyncDisposable {
  const children = Array.from({ length: availableParallelism() }, () =>
    spawn('chrt', ['--idle', '0', 'sh', '-c', 'while :; do :; done'], {
      env: LAB_ENV,
      stdio: 'ignore',
    }),
  )
  return {
    async [Symbol.asyncDispose]() {
      await Promise.all(
        children.map(async (child) => {
          const ended = once(child, 'exit')
          child.kill('SIGKILL')
          await ended
        }),
      )
    },
  }
}
