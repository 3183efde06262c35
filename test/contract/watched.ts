import type { Change, Store, Watch } from '../../src/store/store.ts'

/** A watch that remembers what it was told, in order. */
export class Watched {
  readonly revisions: string[] = []
  readonly changes: Change[] = []
  readonly lost: Error[] = []
  readonly #watch: Watch

  constructor(store: Store, prefix: string, after: string) {
    this.#watch = store.watch(prefix, after, {
      onChanges: (changes, revision) => {
        this.revisions.push(revision)
        this.changes.push(...changes)
      },
      onLost: (reason) => this.lost.push(reason),
    })
  }

  /** "put key value" or "delete key", in the order told. */
  get film(): string[] {
    return this.changes.map((change) =>
      change.kind === 'put'
        ? `put ${change.entry.key} ${change.entry.value}`
        : `delete ${change.key}`,
    )
  }

  stop(): Promise<void> {
    return this.#watch.stop()
  }
}
