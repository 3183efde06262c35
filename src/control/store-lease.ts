import type { Store } from '../store/store.ts'

/**
 * The etcd lease that a class of this host's keys hangs on. It is not kept alive: past half its time
 * the next `current()` is a new one, and whatever compares keys with it writes them again.
 */
export class StoreLease {
  readonly #store: Store
  readonly #seconds: number
  #current: { readonly id: string; readonly renewAt: number } | null = null

  constructor(store: Store, seconds: number) {
    this.#store = store
    this.#seconds = seconds
  }

  get isDue(): boolean {
    return this.#current === null || performance.now() >= this.#current.renewAt
  }

  /** @throws OverlayError store_unavailable */
  async current(): Promise<string> {
    if (this.#current && !this.isDue) return this.#current.id
    // Counted from before the question: the answer may come late.
    const asked = performance.now()
    const id = await this.#store.grant(this.#seconds)
    // Up to a tenth early, so that hosts started together do not renew together.
    const half = (this.#seconds * 1000) / 2
    this.#current = { id, renewAt: asked + half * (1 - Math.random() / 10) }
    return id
  }

  /** The store does not know it any more: the next `current()` is a new one. */
  forget(): void {
    this.#current = null
  }

  /** Lets the keys go at once. */
  async revoke(): Promise<void> {
    const held = this.#current
    this.#current = null
    if (held) await this.#store.revoke(held.id)
  }
}
