/** One key as the store holds it. Revisions are decimal strings: etcd counts in 64 bits. */
export interface Entry {
  readonly key: string
  readonly value: string
  readonly createRevision: string
  readonly modRevision: string
  /** The lease that will take the key away, or null for a key that stays. */
  readonly lease: string | null
}

/** What a prefix held at one revision. */
export interface Snapshot {
  readonly revision: string
  readonly entries: ReadonlyMap<string, Entry>
}

/** One condition of a transaction. `absent` and `modRevision` are the two that allocation needs. */
export type Compare =
  | { readonly key: string; readonly is: 'absent' }
  | { readonly key: string; readonly is: 'modRevision'; readonly revision: string }
  | { readonly key: string; readonly is: 'value'; readonly value: string }

export type Operation =
  | { readonly put: string; readonly value: string; readonly lease?: string }
  | { readonly delete: string }

export interface CommitResult {
  /** False when a comparison failed; then nothing was written. */
  readonly succeeded: boolean
  readonly revision: string
}

export type Change =
  | { readonly kind: 'put'; readonly entry: Entry }
  | { readonly kind: 'delete'; readonly key: string; readonly revision: string }

export interface WatchHandlers {
  /** All changes of one revision, in order. */
  readonly onChanges: (changes: readonly Change[], revision: string) => void
  /** The watch is over (compaction, lost connection, closed server): read the range again, watch again. */
  readonly onLost: (reason: Error) => void
}

export interface Watch {
  stop(): Promise<void>
}

/**
 * What the control plane needs of a key-value store with leases: etcd, or its twin in memory.
 * Every call settles within four seconds; a store that does not answer is `store_unavailable`.
 */
export interface Store {
  range(prefix: string): Promise<Snapshot>
  commit(compares: readonly Compare[], operations: readonly Operation[]): Promise<CommitResult>
  /** A lease of that many seconds; returns its identity. It is never renewed behind our back. */
  grant(seconds: number): Promise<string>
  revoke(lease: string): Promise<void>
  /** Changes of the prefix after the given revision, gapless until `onLost`. */
  watch(prefix: string, after: string, handlers: WatchHandlers): Watch
  close(): Promise<void>
}
