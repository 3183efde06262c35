/**
 * Work that makes something true and may be asked for at any moment: runs never overlap, and however
 * many ask during a run, one more run serves them all.
 */
export class CoalescedTask {
  readonly #work: () => Promise<void>
  #running: Promise<void> | null = null
  #next: Promise<void> | null = null

  constructor(work: () => Promise<void>) {
    this.#work = work
  }

  /** Settles with a run that began after this call. */
  run(): Promise<void> {
    // The next run stays the next one until it begins, also when the running one has just ended.
    if (this.#next) return this.#next
    if (!this.#running) return this.#start()
    this.#next = this.#running.then(
      () => this.#start(),
      () => this.#start(),
    )
    return this.#next
  }

  #start(): Promise<void> {
    this.#next = null
    this.#running = this.#work().finally(() => {
      this.#running = null
    })
    return this.#running
  }
}
