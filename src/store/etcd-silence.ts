import type { Health } from './etcd-process.ts'
import type { Relief } from './etcd-space.ts'

/** Looks that may bring no answer before a hung etcd is ended: a disk may stall for seconds. */
const PATIENT_LOOKS = 4
/** Between two tries to make room in a full database. */
const RELIEF_MS = 60_000

/**
 * Tells a hung etcd, which is to be ended, from one that says what it suffers from, which another start would not cure.
 * All times are milliseconds of one clock.
 */
export class EtcdSilence {
  readonly #patienceMs: number
  #since: number | null = null
  #nextRelief = 0

  constructor(lookMs: number) {
    this.#patienceMs = PATIENT_LOOKS * lookMs
  }

  /** Whether an etcd of that health is to be asked what it suffers from, and helped. */
  isToRelieve(health: Health, now: number): boolean {
    return health === 'sick' && now >= this.#nextRelief
  }

  /** Takes what a look brought that began then, and what the etcd said it suffers from, if it was asked and did. */
  saw(health: Health, relief: Relief | null, begun: number): void {
    if (health === 'well') this.#nextRelief = 0
    else if (relief?.relieved === false) this.#nextRelief = begun + RELIEF_MS
    // Until it is asked again, what it said last holds.
    const isExplained = relief !== null || (health === 'sick' && begun < this.#nextRelief)
    if (health === 'well' || isExplained) this.#since = null
    else this.#since ??= begun
  }

  /** @returns how long it has been silent, when that is longer than a stall may be; else null */
  beyondPatience(now: number): number | null {
    const silentFor = this.#since === null ? 0 : now - this.#since
    return silentFor < this.#patienceMs ? null : silentFor
  }
}
