import { mkdir, readFile } from 'node:fs/promises'
import { dirname } from 'node:path'
import { z } from 'zod'
import { writeDurably } from '../durable-file.ts'
import { messageOf } from '../errors.ts'
import type { Log } from '../log.ts'
import type { Snapshot } from './store.ts'

const entrySchema = z.object({
  key: z.string(),
  value: z.string(),
  createRevision: z.string(),
  modRevision: z.string(),
  lease: z.string().nullable(),
})

const fileSchema = z.object({
  prefix: z.string(),
  revision: z.string(),
  savedAt: z.iso.datetime(),
  entries: z.array(entrySchema),
})

/** Changes come in bursts; one write serves those of a second. */
const DELAY_MS = 1000

/** The last map that etcd gave, on disk, for a start while etcd is away. */
export class SnapshotFile {
  readonly #path: string
  readonly #prefix: string
  readonly #log: Log
  #waiting: Snapshot | null = null
  #timer: NodeJS.Timeout | null = null
  #writing: Promise<void> = Promise.resolve()

  constructor(path: string, prefix: string, log: Log) {
    this.#path = path
    this.#prefix = prefix
    this.#log = log
  }

  /** The saved map and when it was saved; null when there is none that can be used. */
  async load(): Promise<{ snapshot: Snapshot; savedAt: Date } | null> {
    try {
      const file = fileSchema.parse(JSON.parse(await readFile(this.#path, 'utf8')))
      if (file.prefix !== this.#prefix) return null
      const entries = new Map(file.entries.map((entry) => [entry.key, entry]))
      return { snapshot: { revision: file.revision, entries }, savedAt: new Date(file.savedAt) }
    } catch (error) {
      const missing = error instanceof Error && 'code' in error && error.code === 'ENOENT'
      if (!missing) this.#log.warn(`snapshot ${this.#path} cannot be used: ${messageOf(error)}`)
      return null
    }
  }

  /** Saves within a second, or never if the process dies first: the file is then the older map. */
  save(snapshot: Snapshot): void {
    this.#waiting = snapshot
    this.#timer ??= setTimeout(() => void this.flush(), DELAY_MS)
  }

  /** Settles when what was given to `save` is on disk, or could not be written (logged). */
  async flush(): Promise<void> {
    if (this.#timer !== null) clearTimeout(this.#timer)
    this.#timer = null
    const snapshot = this.#waiting
    this.#waiting = null
    if (snapshot !== null) {
      this.#writing = this.#writing
        .then(() => this.#write(snapshot))
        .catch((error: unknown) =>
          this.#log.warn(`snapshot ${this.#path} cannot be written: ${messageOf(error)}`),
        )
    }
    await this.#writing
  }

  async #write({ revision, entries }: Snapshot): Promise<void> {
    const text = JSON.stringify({
      prefix: this.#prefix,
      revision,
      savedAt: new Date(),
      entries: [...entries.values()],
    })
    await mkdir(dirname(this.#path), { recursive: true })
    await writeDurably(this.#path, text)
  }
}
