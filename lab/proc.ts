import { readFileSync, readlinkSync } from 'node:fs'

/** The children of a process's first thread (proc(5)). */
export function childrenOf(pid: number): number[] {
  try {
    const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim()
    return children === '' ? [] : children.split(' ').map(Number)
  } catch {
    return []
  }
}

/** The parent of a process: field 4 of /proc/PID/stat (proc(5)). */
export function parentOf(pid: number): number | undefined {
  const parent = statOf(pid)?.[1]
  return parent === undefined ? undefined : Number(parent)
}

/** Clock ticks between boot and the start of the process: field 22 of /proc/PID/stat (proc(5)). */
export function startTimeOf(pid: number): string | undefined {
  return statOf(pid)?.[19]
}

/** The fields of /proc/PID/stat that follow the name in parentheses, from the third on. */
function statOf(pid: number): string[] | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  } catch {
    return undefined
  }
}

/** False when either process is gone. */
export function samePidNamespace(a: number, b: number): boolean {
  try {
    return readlinkSync(`/proc/${a}/ns/pid`) === readlinkSync(`/proc/${b}/ns/pid`)
  } catch {
    return false
  }
}

/** Whether it is process 1 of a namespace other than this program's: the line NSpid of proc(5) ends in 1. */
export function isFirstInPidNamespace(pid: number): boolean {
  try {
    return /^NSpid:(\t\d+)+\t1$/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'))
  } catch {
    return false
  }
}
