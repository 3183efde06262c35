import { createInterface } from 'node:readline'
import type { Readable } from 'node:stream'
import type { Log } from '../log.ts'

/** A line of etcd: zap's JSON, or the older "2026-11-23 05:15:00.575093 W | package: text". */
interface Said {
  readonly level: 'debug' | 'warn' | 'error'
  readonly text: string
}

const LEVELS: Readonly<Record<string, Said['level']>> = {
  warn: 'warn',
  error: 'error',
  dpanic: 'error',
  panic: 'error',
  fatal: 'error',
  W: 'warn',
  E: 'error',
  C: 'error',
}
/** Of a line's fields only these: others hold what was written, or pages of stack. */
const FIELDS = ['error', 'took', 'remote-addr', 'path', 'alarm']
/** Warnings that every start of a healthy etcd of ours brings. */
const USUAL =
  /^simple token is not cryptographically signed|^The scheme of client url http:|scheme is HTTP while/

const OLD_LINE = /^\d{4}-\d\d-\d\d [\d:.]+ ([A-Z]) \| (.*)$/
const LONGEST = 300
/** Lines kept to tell why etcd ended. */
const KEPT = 12
/** One line of a kind each minute; slow disks make etcd warn at every request. */
const QUIET_MS = 60_000
const KINDS = 100

/** Takes a line apart; null for one that is neither form, such as those of a Go stack. */
function read(line: string): Said | null {
  const old = OLD_LINE.exec(line)
  if (old) return { level: LEVELS[old[1]!] ?? 'debug', text: old[2]! }
  if (/^(panic|fatal error|setpriv): /.test(line)) return { level: 'error', text: line }
  if (!line.startsWith('{')) return null
  try {
    const said = JSON.parse(line) as Record<string, unknown>
    const text = typeof said['msg'] === 'string' ? said['msg'] : ''
    const details = FIELDS.flatMap((field) => {
      const value = said[field]
      return typeof value === 'string' && value !== '' ? [`${field}: ${value}`] : []
    })
    const level = LEVELS[String(said['level'])] ?? 'debug'
    return { level, text: [text, ...details].join(', ') }
  } catch {
    return null
  }
}

/** What etcd writes, told in our own log: its level kept, never a line for each request, no keys or values. */
export class EtcdOutput {
  readonly #log: Log
  readonly #kept: string[] = []
  readonly #quiet = new Map<string, { until: number; left: number }>()

  constructor(output: Readable, log: Log) {
    this.#log = log
    // A pipe that breaks with its program has been read to its end by then.
    output.on('error', () => {})
    createInterface({ input: output }).on('line', (line) => this.#take(line))
  }

  /** The last things said that may tell why it ended. */
  get lastWords(): string {
    return this.#kept.join('\n')
  }

  #take(line: string): void {
    const said = read(line)
    if (said === null) return
    const text = said.text.slice(0, LONGEST)
    const level = USUAL.test(text) ? 'debug' : said.level
    if (level !== 'debug') {
      this.#kept.push(text)
      if (this.#kept.length > KEPT) this.#kept.shift()
    }
    const more = this.#moreOf(text)
    if (more !== null) this.#log[level](`etcd: ${text}${more}`)
  }

  /** What to add to a line for those like it that were left out; null to leave this one out. */
  #moreOf(text: string): string | null {
    const kind = text.replaceAll(/\d+/g, '0').slice(0, 60)
    const now = performance.now()
    const quiet = this.#quiet.get(kind)
    if (quiet && now < quiet.until) {
      quiet.left += 1
      return null
    }
    if (this.#quiet.size >= KINDS) this.#quiet.clear()
    this.#quiet.set(kind, { until: now + QUIET_MS, left: 0 })
    return quiet && quiet.left > 0 ? ` (and ${quiet.left} times more in the meantime)` : ''
  }
}
