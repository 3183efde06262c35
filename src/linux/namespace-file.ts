import { statfsSync } from 'node:fs'

/** What statfs(2) says of a mounted namespace (linux/magic.h: NSFS_MAGIC). */
const NSFS = 0x6e736673

/**
 * Whether a namespace is mounted on the path, so that it lives. Docker leaves the empty file of a
 * container that is gone for up to a minute.
 */
export function isNamespaceFile(path: string): boolean {
  try {
    return statfsSync(path).type === NSFS
  } catch {
    return false
  }
}
