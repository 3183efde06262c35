import type { ChildProcess } from 'node:child_process'
import { createInterface } from 'node:readline'
import { LINK_PREFIX, ROUTE_PROTOCOL } from './host-state.ts'
import { startProgram } from './run.ts'

/** Quiet time after a change before it is told: a link brings a dozen messages. */
const SETTLE_MS = 200
/** Longest wait while changes keep coming. */
const AT_MOST_MS = 2000
const RESTART_MS = 1000

export interface HostWatch {
  /** Ends the program behind the watch; nothing is told any more. */
  stop(): void
}

/**
 * Tells when links, addresses or routes of this host have changed, by others or at the expense of
 * ours. Changes may be missed (they are not counted, and the watch may restart, which counts as a
 * change), so a caller looks at the whole state, and also from time to time without being told.
 */
export function watchHost(onChange: () => void): HostWatch {
  let child: ChildProcess | null = null
  let stopped = false
  let restart: NodeJS.Timeout | undefined
  const tell = settled(onChange)
  const isNews = newsFilter()

  function start(): void {
    child = startProgram('ip', ['-o', 'monitor', 'label', 'link', 'address', 'route'])
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

/**
 * Whether a line of `ip -o monitor label` is worth a look. What we do ourselves is not (new links,
 * addresses and routes of ours), nor is the coming and going of cables, nor the local table. A lost
 * bridge, address or route of ours is.
 */
export function newsFilter(): (line: string) => boolean {
  const lastSeen = new Map<string, string>()
  return (line) => {
    const [, label, deleted, rest = ''] = /^\[(\w+)\](Deleted )?(.*)$/.exec(line) ?? []
    const lost = deleted !== undefined
    if (label === 'ROUTE') return isRouteNews(rest, lost)
    if (label === 'ADDR') return / inet /.test(rest) && (lost || !isOurs(nameIn(rest)))
    if (label !== 'LINK') return false
    const name = nameIn(rest)
    if (isCable(name)) return false
    // The same words come again for each feature that a new port takes from a bridge.
    const words = lost ? '' : rest.replace(/event [A-Z ]+/, '')
    const isRepeated = lastSeen.get(name) === words
    lastSeen.set(name, words)
    return !isRepeated && (lost || !isOurs(name) || !/[<,]UP[,>]/.test(rest))
  }
}

function isRouteNews(route: string, lost: boolean): boolean {
  if (route.includes(' table ') || /^(\w+ )?\S*:/.test(route)) return false
  const device = / dev (\S+)/.exec(route)?.[1] ?? ''
  return lost || !(isOurs(device) || route.includes(` proto ${ROUTE_PROTOCOL} `))
}

const nameIn = (text: string): string => /^\d+: ([^@:\s]+)/.exec(text)?.[1] ?? ''
const isOurs = (name: string): boolean => name.startsWith(LINK_PREFIX)
const isCable = (name: string): boolean =>
  name.startsWith('veth') ||
  name.startsWith(`${LINK_PREFIX}h`) ||
  name.startsWith(`${LINK_PREFIX}c`)
