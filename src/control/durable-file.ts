import { open, rename } from 'node:fs/promises'
import { dirname } from 'node:path'

let writes = 0

/**
 * Replaces a file so that a reader, or a power cut, meets the old text or the new and nothing
 * between: temporary file beside it, fsync, rename, fsync of the folder.
 */
export async function writeDurably(path: string, text: string): Promise<void> {
  const temporary = `${path}.${process.pid}-${++writes}.tmp`
  const file = await open(temporary, 'w', 0o600)
  try {
    await file.writeFile(text)
    await file.sync()
  } finally {
    await file.close()
  }
  await rename(temporary, path)
  await syncFolderOf(path)
}

/** Makes the folder's own entries durable: a rename or removal is on disk after this. */
export async function syncFolderOf(path: string): Promise<void> {
  const folder = await open(dirname(path), 'r')
  try {
    await folder.sync()
  } finally {
    await folder.close()
  }
}
