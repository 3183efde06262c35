import { OverlayError } from '../errors.ts'
import type {
  CommitResult,
  Compare,
  Operation,
  Snapshot,
  Store,
  Watch,
  WatchHandlers,
} from './store.ts'

/** Says what keeps a store from being used. */
export interface Gate {
  /** Waits, no longer than told, for a start that is under way. @returns null when it may be used, else why not */
  trouble(patienceMs: number): Promise<string | null>
}

/** With the store's own patience it stays below what callers wait. */
const PATIENCE_MS = 3000

/**
 * A store that is asked only while it is known to be the right one: what answers at the port of an
 * etcd of ours that does not run is somebody else's.
 */
export class GatedStore implements Store {
  readonly #store: Store
  readonly #gate: Gate

  constructor(store: Store, gate: Gate) {
    this.#store = store
    this.#gate = gate
  }

  async range(prefix: string): Promise<Snapshot> {
    await this.#pass()
    return this.#store.range(prefix)
  }

  async commit(
    compares: readonly Compare[],
    operations: readonly Operation[],
  ): Promise<CommitResult> {
    await this.#pass()
    return this.#store.commit(compares, operations)
  }

  async grant(seconds: number): Promise<string> {
    await this.#pass()
    return this.#store.grant(seconds)
  }

  async revoke(lease: string): Promise<void> {
    await this.#pass()
    await this.#store.revoke(lease)
  }

  /** Of the store itself: a watch follows a read, which has passed. */
  watch(prefix: string, after: string, handlers: WatchHandlers): Watch {
    return this.#store.watch(prefix, after, handlers)
  }

  close(): Promise<void> {
    return this.#store.close()
  }

  async #pass(): Promise<void> {
    const trouble = await this.#gate.trouble(PATIENCE_MS)
    if (trouble === null) return
    throw new OverlayError('store_unavailable', `this host's own etcd does not run: ${trouble}`)
  }
}
