import { readFileSync } from 'node:fs'

/** Of the clock that /proc counts in: fixed for programs, whatever the kernel's own (proc(5), USER_HZ). */
const TICKS_PER_SECOND = 100

/** Seconds that each core has worked since boot: all but idle, waiting and stolen time. */
export function busySeconds(stat = readFileSync('/proc/stat', 'utf8')): number[] {
  return stat
    .split('\n')
    .filter((line) => /^cpu\d/.test(line))
    .map((line) => {
      const [user, nice, system, , , irq, softirq] = line.split(/\s+/).slice(1).map(Number)
      return (user! + nice! + system! + irq! + softirq!) / TICKS_PER_SECOND
    })
}

/** Seconds that processes have worked, with all their threads: fields 14 and 15 of /proc/PID/stat (proc(5)). */
export function secondsOf(pids: readonly number[]): number {
  return pids.reduce((sum, pid) => sum + ownSeconds(readFileSync(`/proc/${pid}/stat`, 'utf8')), 0)
}

/** The fields that follow the name in parentheses begin with the third. */
export function ownSeconds(stat: string): number {
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  return (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND
}
