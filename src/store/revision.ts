/**
 * Orders two revisions, which are decimal strings of 64-bit counters without leading zeros:
 * negative when `a` is older.
 */
export function compareRevisions(a: string, b: string): number {
  if (a.length !== b.length) return a.length - b.length
  return a < b ? -1 : Number(a > b)
}

export function isNewer(a: string, b: string): boolean {
  return compareRevisions(a, b) > 0
}

/** The revision after this one. */
export function next(revision: string): string {
  return String(BigInt(revision) + 1n)
}
