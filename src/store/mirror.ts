import { setTimeout as sleep } from 'node:timers/promises'
import { messageOf } from '../errors.ts'
import type { Log } from '../log.ts'
import type { ClusterView } from './cluster-view.ts'
import type { Keyspace } from './keyspace.ts'
import { MirroredMap } from './mirrored-map.ts'
import { parseView } from './parse-view.ts'
import { ProblemLog } from './problem-log.ts'
import { isNewer } from './revision.ts'
import { SnapshotFile } from './snapshot-file.ts'
import type { Entry, Snapshot, Store } from './store.ts'

export interface MirrorOptions {
  readonly store: Store
  readonly keyspace: Keyspace
  readonly log: Log
  /** Where the last map is kept for a start while etcd is away. */
  readonly snapshotFile?: string
  /** Between two full reads while the watch is well; five minutes. */
  readonly rereadMs?: number
}

export interface MirrorStatus {
  readonly state: 'connecting' | 'up' | 'down'
  /** When that state began. */
  readonly since: Date
  readonly lastError?: string
  /** Where the map in `view()` came from. */
  readonly mapFrom: 'nothing' | 'file' | 'store'
}

/** A watch that looks well may be silent: everything is read again this often. */
const REREAD_MS = 5 * 60_000
/** How long the store may take at the start before the saved map is used meanwhile. */
const FILE_AFTER_MS = 500
/** How long a commit of our own may take to come back by the watch. */
const REACH_MS = 1000
const REACH_STEP_MS = 10
const FIRST_PAUSE_MS = 100
const MAX_PAUSE_MS = 5000

/** Between half and the whole of a doubling pause: a cluster must not come back all at once. */
function pauseMs(failures: number): number {
  const whole = Math.min(MAX_PAUSE_MS, FIRST_PAUSE_MS * 2 ** failures)
  return whole * (0.5 + Math.random() / 2)
}

/**
 * This host's copy of everything under the prefix: one range read, then a watch. When the watch is
 * lost everything is read again and compared by value, so that listeners hear of what really
 * changed. While the store is away the last copy stands.
 */
export class ClusterMirror implements AsyncDisposable {
  readonly #store: Store
  readonly #keyspace: Keyspace
  readonly #log: Log
  readonly #rereadMs: number
  readonly #map = new MirroredMap()
  readonly #problems: ProblemLog
  readonly #file: SnapshotFile | null
  readonly #listeners = new Set<() => void>()
  readonly #stopping = new AbortController()
  readonly #stopped = Promise.withResolvers<null>()
  readonly #firstRead = Promise.withResolvers<boolean>()
  #status: MirrorStatus = { state: 'connecting', since: new Date(), mapFrom: 'nothing' }
  #view: ClusterView | null = null
  #notifying = false
  #running: Promise<void> | null = null

  constructor(options: MirrorOptions) {
    const { store, keyspace, log, snapshotFile } = options
    this.#store = store
    this.#keyspace = keyspace
    this.#log = log
    this.#rereadMs = options.rereadMs ?? REREAD_MS
    this.#problems = new ProblemLog(log)
    this.#file = snapshotFile ? new SnapshotFile(snapshotFile, keyspace.prefix, log) : null
  }

  /** Begins to follow the store, until `stop`; returns at once. */
  start(): void {
    this.#running ??= this.#run()
  }

  async stop(): Promise<void> {
    this.#stopping.abort()
    this.#stopped.resolve(null)
    this.#firstRead.resolve(false)
    await this.#running
    await this.#file?.flush()
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop()
  }

  /** What the store said last, parsed. Empty before anything was read. */
  view(): ClusterView {
    this.#view ??= parseView(this.#keyspace, this.#map.snapshot())
    return this.#view
  }

  /** The same unparsed, with leases and revisions: what a writer compares its own records with. */
  entries(): ReadonlyMap<string, Entry> {
    return this.#map.entries
  }

  status(): MirrorStatus {
    return this.#status
  }

  /** How many wrong keys have been met since the start. */
  get problemTotal(): number {
    return this.#problems.total
  }

  /** Calls the listener after values changed, once for a burst. @returns a function that ends it */
  onChange(listener: () => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  /** Waits for the first read of the store. @returns false when that took longer or was stopped */
  async ready(timeoutMs: number): Promise<boolean> {
    const timeout = new AbortController()
    const expired = sleep(timeoutMs, false, { signal: timeout.signal }).catch(() => false)
    const ready = await Promise.race([this.#firstRead.promise, expired])
    timeout.abort()
    return ready
  }

  /**
   * Reads everything now, so that `view()` has what was just committed.
   * @throws OverlayError store_unavailable
   */
  async refresh(): Promise<void> {
    const snapshot = await this.#store.range(this.#keyspace.root)
    // The watch may have overtaken the answer; what it brought is newer.
    if (isNewer(snapshot.revision, this.#map.revision)) this.#adopt(snapshot, 'store')
  }

  /**
   * Waits until `view()` has what was committed at that revision: the watch brings it within
   * milliseconds; where it does not, everything is read.
   * @throws OverlayError store_unavailable
   */
  async reach(revision: string): Promise<void> {
    for (let waited = 0; waited < REACH_MS; waited += REACH_STEP_MS) {
      if (!isNewer(revision, this.#map.revision)) return
      await sleep(REACH_STEP_MS)
    }
    await this.refresh()
  }

  async #run(): Promise<void> {
    const file = this.#loadFile()
    for (let failures = 0; !this.#stopping.signal.aborted;) {
      try {
        const snapshot = await this.#unlessStopped(this.#store.range(this.#keyspace.root))
        if (snapshot === null) break
        this.#adopt(snapshot, 'store')
        this.#turn('up')
        this.#firstRead.resolve(true)
        const begun = performance.now()
        const reason = await this.#follow(snapshot.revision)
        if (reason === null) break
        this.#log.info(`the watch of ${this.#keyspace.root} is over: ${reason.message}`)
        // A watch that ends at once would otherwise make a busy loop of reads.
        failures = performance.now() - begun < MAX_PAUSE_MS ? failures + 1 : 0
      } catch (error) {
        failures += 1
        this.#turn('down', messageOf(error))
      }
      await this.#pause(pauseMs(failures))
    }
    await file
  }

  /** Follows the changes after that revision. @returns why the watch is over; null when stopped */
  async #follow(after: string): Promise<Error | null> {
    const over = Promise.withResolvers<Error>()
    const watch = this.#store.watch(this.#keyspace.root, after, {
      onChanges: (changes, revision) => {
        this.#changed(this.#map.apply(changes, revision))
      },
      onLost: over.resolve,
    })
    const reread = setInterval(() => void this.#reread(), this.#rereadMs)
    try {
      return await this.#unlessStopped(over.promise)
    } finally {
      clearInterval(reread)
      await watch.stop()
    }
  }

  async #reread(): Promise<void> {
    try {
      await this.refresh()
    } catch (error) {
      this.#log.debug(`the periodic read failed: ${messageOf(error)}`)
    }
  }

  /** The work's outcome, or null as soon as the mirror is stopped. */
  async #unlessStopped<T>(work: Promise<T>): Promise<T | null> {
    return Promise.race([work, this.#stopped.promise])
  }

  async #pause(ms: number): Promise<void> {
    try {
      await sleep(ms, undefined, { signal: this.#stopping.signal })
    } catch {
      // Stopped while waiting: the loop sees it.
    }
  }

  async #loadFile(): Promise<void> {
    if (this.#file === null || (await this.ready(FILE_AFTER_MS))) return
    const saved = await this.#file.load()
    if (saved === null || this.#status.mapFrom === 'store') return
    this.#log.warn(
      `etcd does not answer yet; using the map saved at ${saved.savedAt.toISOString()}`,
    )
    this.#adopt(saved.snapshot, 'file')
  }

  #adopt(snapshot: Snapshot, mapFrom: 'file' | 'store'): void {
    const changed = this.#map.replace(snapshot)
    const first = this.#status.mapFrom === 'nothing'
    if (this.#status.mapFrom !== mapFrom) this.#status = { ...this.#status, mapFrom }
    this.#changed(changed || first)
  }

  #turn(state: 'up' | 'down', lastError?: string): void {
    const { state: before, since, mapFrom } = this.#status
    if (state !== before) {
      const word = state === 'up' ? 'answers' : `is away: ${lastError}`
      this.#log[state === 'up' ? 'info' : 'warn'](`etcd ${word}`)
    }
    this.#status = {
      state,
      since: state === before ? since : new Date(),
      mapFrom,
      ...(lastError !== undefined && { lastError }),
    }
  }

  #changed(values: boolean): void {
    this.#view = null
    if (!values) return
    if (this.#status.mapFrom === 'store') this.#file?.save(this.#map.snapshot())
    if (this.#notifying) return
    this.#notifying = true
    setImmediate(() => this.#notify())
  }

  #notify(): void {
    this.#notifying = false
    this.#problems.note(this.view().problems)
    for (const listener of this.#listeners) {
      try {
        listener()
      } catch (error) {
        this.#log.error(`a listener of the cluster's map failed: ${messageOf(error)}`)
      }
    }
  }
}
