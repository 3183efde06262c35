import { createInterface } from 'node:readline'
import { startProgram } from './run.ts'

/** Quiet time after a change before it is told: one change comes in many lines. */
const SETTLE_MS = 200
/** Longest wait while changes keep coming. */
const AT_MOST_MS = 2000
const RESTART_MS = 1000

/** Something on this host is watched by a program. */
export interface HostWatch {
  /** Ends the program behind the watch; nothing is told any more. */
  stop(): void
}

export interface FollowedProgram {
  readonly program: string
  readonly args: readonly string[]
  /** Whether a line that it prints is worth telling. */
  readonly isNews: (line: string) => boolean
}

/**
 * Tells, once things have calmed down, that a program that prints changes has printed news. Changes may
 * be missed (they are not counted, and the program may be restarted, which counts as a change), so a
 * caller looks at the whole state, and also from time to time without being told.
 */
export function followLines(
  { program, args, isNews }: FollowedProgram,
  onChange: () => void,
): HostWatch {
  let child: ReturnType<typeof startProgram> | null = null
  let stopped = false
  let restart: NodeJS.Timeout | undefined
  const tell = settled(onChange)

  function start(): void {
    child = startProgram(program, args)
    child.on('error', again)
    child.on('exit', again)
    child.stderr?.resume()
    if (child.stdout === null) return
    createInterface({ input: child.stdout }).on('line', (line) => {
      if (isNews(line)) tell()
    })
  }

  function again(): void {
    if (stopped || restart !== undefined) return
    restart = setTimeout(() => {
      restart = undefined
      start()
      tell()
    }, RESTART_MS)
  }

  start()
  return {
    stop() {
      stopped = true
      clearTimeout(restart)
      tell.cancel()
      child?.kill('SIGKILL')
    },
  }
}

/** Calls back once when things have calmed down, at the latest some time after the first call. */
function settled(callback: () => void): (() => void) & { cancel: () => void } {
  let timer: NodeJS.Timeout | undefined
  let first = 0
  const fire = (): void => {
    timer = undefined
    callback()
  }
  const tell = (): void => {
    const now = performance.now()
    if (timer === undefined) first = now
    clearTimeout(timer)
    timer = setTimeout(fire, Math.max(0, Math.min(SETTLE_MS, first + AT_MOST_MS - now)))
  }
  return Object.assign(tell, { cancel: () => clearTimeout(timer) })
}
