import type { Log } from '../log.ts'
import type { StoreProblem } from './cluster-view.ts'

/** Says each wrong key once, and again only if it was mended in between. */
export class ProblemLog {
  readonly #log: Log
  #known = new Set<string>()
  #total = 0

  constructor(log: Log) {
    this.#log = log
  }

  /** How many problems have been met since the start. */
  get total(): number {
    return this.#total
  }

  /** @param problems all that stand now */
  note(problems: readonly StoreProblem[]): void {
    const now = new Set<string>()
    for (const { key, part, reason } of problems) {
      const id = `${key}\n${reason}`
      now.add(id)
      if (this.#known.has(id)) continue
      this.#total += 1
      const what = part === undefined ? '' : `the ${part} part of `
      this.#log.warn({ key }, `${what}etcd key ${key} is ignored: ${reason}`)
    }
    this.#known = now
  }
}
