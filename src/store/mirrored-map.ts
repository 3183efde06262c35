import { isNewer } from './revision.ts'
import type { Change, Entry, Snapshot } from './store.ts'

function same(a: Entry, b: Entry): boolean {
  return (
    a.value === b.value &&
    a.modRevision === b.modRevision &&
    a.createRevision === b.createRevision &&
    a.lease === b.lease
  )
}

/** A prefix of the store as it was at one revision, kept up by changes or replaced by a whole read. */
export class MirroredMap {
  #entries = new Map<string, Entry>()
  #revision = '0'

  get revision(): string {
    return this.#revision
  }

  /** The entries as they are now; changes show. */
  get entries(): ReadonlyMap<string, Entry> {
    return this.#entries
  }

  /** A copy that stays as it is. */
  snapshot(): Snapshot {
    return { revision: this.#revision, entries: new Map(this.#entries) }
  }

  /**
   * Replaces everything. Entries that did not change stay the same objects.
   * @returns whether any value came, went or changed; a renewal is no change of value
   */
  replace(snapshot: Snapshot): boolean {
    let changed = [...this.#entries.keys()].some((key) => !snapshot.entries.has(key))
    const entries = new Map<string, Entry>()
    for (const [key, entry] of snapshot.entries) {
      const old = this.#entries.get(key)
      if (old?.value !== entry.value) changed = true
      entries.set(key, old && same(old, entry) ? old : entry)
    }
    this.#entries = entries
    this.#revision = snapshot.revision
    return changed
  }

  /**
   * The changes of one revision; of a revision already read they are skipped.
   * @returns whether any value came, went or changed
   */
  apply(changes: readonly Change[], revision: string): boolean {
    if (!isNewer(revision, this.#revision)) return false
    let changed = false
    for (const change of changes) {
      if (change.kind === 'delete') {
        changed = this.#entries.delete(change.key) || changed
        continue
      }
      const { entry } = change
      if (this.#entries.get(entry.key)?.value !== entry.value) changed = true
      this.#entries.set(entry.key, entry)
    }
    this.#revision = revision
    return changed
  }
}
