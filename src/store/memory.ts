import { OverlayError } from '../errors.ts'
import { isNewer } from './revision.ts'
import type {
  Change,
  CommitResult,
  Compare,
  Entry,
  Operation,
  Snapshot,
  Store,
  Watch,
  WatchHandlers,
} from './store.ts'

interface Revision {
  readonly revision: string
  readonly changes: readonly Change[]
}

interface Watcher {
  readonly prefix: string
  readonly handlers: WatchHandlers
  /** The last revision delivered. */
  after: string
}

/** The store's twin in memory: the same rules as etcd, and switches to make it fail. */
export class MemoryStore implements Store {
  readonly #entries = new Map<string, Entry>()
  readonly #leases = new Map<string, NodeJS.Timeout>()
  readonly #watchers = new Set<Watcher>()
  #history: Revision[] = []
  #compacted = '0'
  #revision = 1n
  #lastLease = 0n
  #downSince: Date | null = null

  async range(prefix: string): Promise<Snapshot> {
    this.#check()
    const entries = [...this.#entries.values()]
      .filter(({ key }) => key.startsWith(prefix))
      .sort((a, b) => (a.key < b.key ? -1 : 1))
    return {
      revision: String(this.#revision),
      entries: new Map(entries.map((entry) => [entry.key, entry])),
    }
  }

  async commit(
    compares: readonly Compare[],
    operations: readonly Operation[],
  ): Promise<CommitResult> {
    this.#check()
    this.#refuseDuplicates(operations)
    if (!compares.every((compare) => this.#holds(compare))) {
      return { succeeded: false, revision: String(this.#revision) }
    }
    for (const operation of operations) {
      if ('put' in operation && operation.lease !== undefined) this.#known(operation.lease)
    }
    this.#write(operations)
    return { succeeded: true, revision: String(this.#revision) }
  }

  async grant(seconds: number): Promise<string> {
    this.#check()
    const lease = String(++this.#lastLease)
    const timer = setTimeout(() => this.#end(lease), seconds * 1000)
    this.#leases.set(lease, timer.unref())
    return lease
  }

  async revoke(lease: string): Promise<void> {
    this.#check()
    if (this.#leases.has(lease)) this.#end(lease)
  }

  watch(prefix: string, after: string, handlers: WatchHandlers): Watch {
    const watcher = { prefix, handlers, after }
    this.#watchers.add(watcher)
    setImmediate(() => this.#deliver(watcher))
    return {
      stop: async () => {
        this.#watchers.delete(watcher)
      },
    }
  }

  async close(): Promise<void> {
    for (const timer of this.#leases.values()) clearTimeout(timer)
    this.#leases.clear()
    this.#watchers.clear()
    this.#downSince ??= new Date()
  }

  /** Forgets the history up to now, as etcd's compaction does: a watch from before it is lost. */
  compact(): void {
    this.#history = []
    this.#compacted = String(this.#revision)
  }

  /** False: every call fails and every watch is lost, until it is true again. Leases run on. */
  setAvailable(available: boolean): void {
    this.#downSince = available ? null : (this.#downSince ?? new Date())
    if (!available) for (const watcher of this.#watchers) this.#lose(watcher, 'went away')
  }

  #check(): void {
    if (this.#downSince === null) return
    throw new OverlayError(
      'store_unavailable',
      `the store in memory has not answered since ${this.#downSince.toISOString()}`,
    )
  }

  #refuseDuplicates(operations: readonly Operation[]): void {
    const keys = operations.map((each) => ('put' in each ? each.put : each.delete))
    const twice = keys.find((key, index) => keys.indexOf(key) !== index)
    if (twice === undefined) return
    throw new OverlayError('bad_input', `${twice} is written twice in one transaction`)
  }

  #known(lease: string): void {
    if (!this.#leases.has(lease)) {
      throw new OverlayError('not_found', `lease ${lease} has run out or never was`)
    }
  }

  #holds(compare: Compare): boolean {
    const entry = this.#entries.get(compare.key)
    if (compare.is === 'absent') return entry === undefined
    if (compare.is === 'value') return entry?.value === compare.value
    return (entry?.modRevision ?? '0') === compare.revision
  }

  /** One revision for all operations; deleting what is not there is no change. */
  #write(operations: readonly Operation[]): void {
    const revision = String(this.#revision + 1n)
    const changes = operations.flatMap((operation) => this.#apply(operation, revision))
    if (changes.length === 0) return
    this.#revision += 1n
    this.#history.push({ revision, changes })
    for (const watcher of this.#watchers) setImmediate(() => this.#deliver(watcher))
  }

  #apply(operation: Operation, revision: string): Change[] {
    if ('delete' in operation) {
      const key = operation.delete
      return this.#entries.delete(key) ? [{ kind: 'delete', key, revision }] : []
    }
    const entry: Entry = {
      key: operation.put,
      value: operation.value,
      createRevision: this.#entries.get(operation.put)?.createRevision ?? revision,
      modRevision: revision,
      lease: operation.lease ?? null,
    }
    this.#entries.set(entry.key, entry)
    return [{ kind: 'put', entry }]
  }

  #end(lease: string): void {
    clearTimeout(this.#leases.get(lease))
    this.#leases.delete(lease)
    const keys = [...this.#entries.values()].filter((entry) => entry.lease === lease)
    this.#write(keys.map(({ key }) => ({ delete: key })))
  }

  #deliver(watcher: Watcher): void {
    if (!this.#watchers.has(watcher)) return
    if (this.#downSince !== null) return this.#lose(watcher, 'is away')
    if (isNewer(this.#compacted, watcher.after)) return this.#lose(watcher, 'was compacted')
    for (const { revision, changes } of this.#history) {
      if (!this.#watchers.has(watcher)) return undefined
      if (!isNewer(revision, watcher.after)) continue
      watcher.after = revision
      const wanted = changes.filter((change) =>
        (change.kind === 'put' ? change.entry.key : change.key).startsWith(watcher.prefix),
      )
      if (wanted.length > 0) watcher.handlers.onChanges(wanted, revision)
    }
    return undefined
  }

  #lose(watcher: Watcher, what: string): void {
    if (!this.#watchers.delete(watcher)) return
    const error = new OverlayError('store_unavailable', `the store in memory ${what}`)
    setImmediate(() => watcher.handlers.onLost(error))
  }
}
