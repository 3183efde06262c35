import type { Log } from '../log.ts'
import { endpointsOf, type Endpoint, type Journal } from './journal.ts'
import type { KnownNetwork } from './known-networks.ts'

/** How long a network may be missing; one that is being made is not known yet. */
export const MISSING_MS = 30_000

export interface RemovedNetworksOptions {
  readonly journal: Journal
  readonly isInUse: (endpoint: Endpoint) => Promise<boolean>
  readonly remove: (networkId: string) => Promise<void>
  readonly log: Log
}

/**
 * Networks that were removed while this program was away: their removal is told once, and goes on if
 * nobody listens (moby libnetwork/network.go, deleteNetwork).
 */
export class RemovedNetworks {
  readonly #options: RemovedNetworksOptions
  /** Networks that are missing, with when that was first seen. */
  readonly #missing = new Map<string, number>()

  constructor(options: RemovedNetworksOptions) {
    this.#options = options
  }

  /** Whether another list is wanted before long. */
  get isDoubting(): boolean {
    return this.#missing.size > 0
  }

  /**
   * Removes what is missing from a second list some time after the first.
   * @param candidates networks that were journaled before the list was asked for
   */
  async compare(
    candidates: readonly string[],
    known: readonly KnownNetwork[],
    now: number,
  ): Promise<void> {
    const { journal, remove, log } = this.#options
    const ids = new Set(known.map(({ id }) => id))
    for (const id of this.#missing.keys()) if (ids.has(id)) this.#missing.delete(id)
    for (const id of candidates) {
      const network = journal.networks.get(id)
      // One without a name was never seen there: perhaps somebody else than its maker is asked.
      if (ids.has(id) || !network || network.name === null || (await this.#isInUse(id))) {
        this.#missing.delete(id)
        continue
      }
      const since = this.#missing.get(id) ?? now
      this.#missing.set(id, since)
      if (now - since < MISSING_MS) continue
      log.warn(
        { network: id, name: network.name },
        'a network was removed while overlay-ts was away; it is removed here too',
      )
      await remove(id)
      this.#missing.delete(id)
    }
  }

  async #isInUse(networkId: string): Promise<boolean> {
    const { journal, isInUse } = this.#options
    for (const endpoint of endpointsOf(journal, networkId)) {
      if (await isInUse(endpoint)) return true
    }
    return false
  }
}
