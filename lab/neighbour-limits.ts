import { existsSync, readFileSync, writeFileSync } from 'node:fs'

/** One table for all namespaces, so that many containers share it; the least that a pooled overlay asks of a machine. */
const LEAST = [8192, 49152, 65536]

/**
 * Raises the kernel's neighbour table limits of both address families, never lowers one, and gives the paths it wrote.
 * They exist in the machine's first network namespace only.
 */
export function raiseNeighbourLimits(): string[] {
  return ['ipv4', 'ipv6'].flatMap((family) =>
    LEAST.flatMap((least, index) => {
      const path = `/proc/sys/net/${family}/neigh/default/gc_thresh${index + 1}`
      if (!existsSync(path) || Number(readFileSync(path, 'utf8')) >= least) return []
      writeFileSync(path, String(least))
      return [path]
    }),
  )
}
