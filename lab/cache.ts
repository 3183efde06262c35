import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  utimesSync,
} from 'node:fs'
import { join } from 'node:path'

/** Where images are kept between labs; any may be deleted at any time. */
export const IMAGE_CACHE = '/tmp/overlay-ts-lab-image'

/** What no lab has asked for in this time is deleted when something new is made: it is of another day's sources. */
const KEPT_MS = 6 * 3600_000

/**
 * The path of a file or folder that a lab needs and that takes long to make, made unless it is kept under this name;
 * the name tells its versions apart.
 * @param make writes it to the path it is given
 */
export async function cached(name: string, make: (path: string) => Promise<void>): Promise<string> {
  const kept = join(IMAGE_CACHE, name)
  if (touch(kept)) return kept
  mkdirSync(IMAGE_CACHE, { recursive: true })
  deleteUnused()
  const work = mkdtempSync(join(IMAGE_CACHE, 'new-'))
  try {
    const made = join(work, name)
    await make(made)
    // Two labs may get here at once; both are good.
    if (!touch(kept)) renameSync(made, kept)
  } finally {
    rmSync(work, { recursive: true, force: true })
  }
  return kept
}

function deleteUnused(): void {
  for (const name of readdirSync(IMAGE_CACHE)) {
    const path = join(IMAGE_CACHE, name)
    const used = statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? 0
    if (Date.now() - used > KEPT_MS) rmSync(path, { recursive: true, force: true })
  }
}

/** Notes that it is used now. @returns false when it is not there */
function touch(path: string): boolean {
  if (!existsSync(path)) return false
  utimesSync(path, new Date(), new Date())
  return true
}
