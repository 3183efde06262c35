import { mkdir, readdir, readFile, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import type { z } from 'zod'
import { syncFolderOf, writeDurably } from '../durable-file.ts'
import { messageOf } from '../errors.ts'
import type { Log } from '../log.ts'
import { KeyedMutex } from './keyed-mutex.ts'

/**
 * A folder of small JSON files, one per object, mirrored in memory. A write is on disk before it
 * is in memory, so what a caller was told is done survives a power cut.
 */
export class JournalTable<T extends object> {
  readonly #folder: string
  readonly #records: Map<string, T>
  readonly #turns = new KeyedMutex()

  private constructor(folder: string, records: Map<string, T>) {
    this.#folder = folder
    this.#records = records
  }

  /** Reads the folder, making it if absent. A file that does not parse is set aside, not deleted. */
  static async open<T extends object>(
    folder: string,
    schema: z.ZodType<T>,
    log: Log,
  ): Promise<JournalTable<T>> {
    await mkdir(folder, { recursive: true, mode: 0o700 })
    const records = new Map<string, T>()
    for (const file of await readdir(folder)) {
      const path = join(folder, file)
      if (file.endsWith('.tmp')) await rm(path, { force: true })
      if (!file.endsWith('.json')) continue
      try {
        records.set(nameOf(file), schema.parse(JSON.parse(await readFile(path, 'utf8'))))
      } catch (error) {
        await rename(path, `${path}.broken`)
        log.error(
          { file: path, reason: messageOf(error) },
          'journal file does not parse; set aside as .broken and ignored',
        )
      }
    }
    return new JournalTable(folder, records)
  }

  get(id: string): T | undefined {
    return this.#records.get(id)
  }

  values(): T[] {
    return [...this.#records.values()]
  }

  put(id: string, record: T): Promise<void> {
    return this.#turns.run(id, () => this.#write(id, record))
  }

  /**
   * Replaces a record by what `change` makes of it; changes of one record take turns, so none is lost.
   * @returns the new record, or undefined when there was none to change
   */
  update(id: string, change: (record: T) => T): Promise<T | undefined> {
    return this.#turns.run(id, async () => {
      const record = this.#records.get(id)
      if (record === undefined) return undefined
      const changed = change(record)
      if (changed !== record) await this.#write(id, changed)
      return changed
    })
  }

  /**
   * Removing what is not there is done already.
   * @param only asked in the record's turn whether it may go
   * @returns whether the record is gone
   */
  delete(id: string, only: (record: T) => boolean = () => true): Promise<boolean> {
    return this.#turns.run(id, async () => {
      const record = this.#records.get(id)
      if (record !== undefined && !only(record)) return false
      await rm(this.#path(id), { force: true })
      await syncFolderOf(this.#path(id))
      this.#records.delete(id)
      return true
    })
  }

  async #write(id: string, record: T): Promise<void> {
    await writeDurably(this.#path(id), `${JSON.stringify(record, null, 2)}\n`)
    this.#records.set(id, record)
  }

  #path(id: string): string {
    return join(this.#folder, fileOf(id))
  }
}

/** Subnets hold a slash, which a file name may not. */
const fileOf = (id: string): string => `${encodeURIComponent(id)}.json`
const nameOf = (file: string): string => decodeURIComponent(file.slice(0, -'.json'.length))
