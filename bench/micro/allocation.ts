import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'

/** Runs an operation so many times. */
export type Repeat = (times: number) => void

setFlagsFromString('--expose-gc')
const collectGarbage = runInNewContext('gc') as () => void

/** So few that no operation fills the young generation, which would be collected meanwhile. */
const TIMES = 1000

/**
 * Bytes of heap that running the operation a thousand times takes, exactly: the heap's use before and
 * after, less what reading it takes.
 */
export function heapTakenBy(repeat: Repeat): number {
  const taken = growth(repeat)
  return Math.max(0, taken - growth(() => {}))
}

/**
 * Bytes of heap that the operation takes each time once the compiler has optimised it: the least of many
 * tries, since code that is not optimised yet keeps its numbers on the heap, and whatever else goes on in
 * the process is counted too. What allocates does so in every try.
 */
export function allocatedBy(repeat: Repeat, tries = 20): number {
  let least = Infinity
  for (let done = 0; done < tries && least > 0; done++) {
    repeat(TIMES)
    least = Math.min(least, heapTakenBy(repeat))
  }
  return least / TIMES
}

function growth(repeat: Repeat): number {
  collectGarbage()
  const before = process.memoryUsage().heapUsed
  repeat(TIMES)
  return process.memoryUsage().heapUsed - before
}
