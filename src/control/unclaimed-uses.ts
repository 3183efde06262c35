/** How long an address may be given out without an endpoint before it is taken back. */
export const UNCLAIMED_MS = 60_000

/** An address as the journal has it. */
interface Use {
  readonly address: string
  readonly purpose: 'endpoint' | 'gateway' | 'reserved'
  /** Milliseconds since the epoch. */
  readonly since: number
}

/**
 * What was given out for containers and never used: the reply was lost, or dockerd died.
 * @param interfaces addresses of endpoints with their lengths, "10.33.5.2/17"
 */
export function unclaimedUses<T extends Use>(
  uses: readonly T[],
  interfaces: () => readonly string[],
  now: number,
): readonly T[] {
  const old = uses.filter(
    ({ purpose, since }) => purpose === 'endpoint' && now - since > UNCLAIMED_MS,
  )
  if (old.length === 0) return []
  const used = new Set(interfaces().map((address) => address.split('/')[0]))
  return old.filter(({ address }) => !used.has(address))
}
