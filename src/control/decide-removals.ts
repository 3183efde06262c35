import { containsCidr, formatCidr, parseCidr } from '../net/cidr.ts'
import type { Decision } from '../store/allocate.ts'
import type { ClusterView, OverlayRecord } from '../store/cluster-view.ts'
import type { Keyspace } from '../store/keyspace.ts'
import type { Operation } from '../store/store.ts'
import type { HeldSubnet } from './journal.ts'

/** Whose leftovers go, and what of this host's is none. */
export interface Remainder {
  readonly hostId: string
  readonly held: readonly HeldSubnet[]
  /** Subnets whose grant is under way: in the store already, in the journal not yet. */
  readonly spared: ReadonlySet<string>
}

/**
 * Takes out of the store what this host no longer holds: leases with their holder records, their
 * endpoints, and their overlay if nobody is left in it. At most so many operations at once; the result
 * tells whether more are left. What tells of the others, the lease, goes last.
 */
export function decideRemovals(
  view: ClusterView,
  mine: Remainder,
  keys: Keyspace,
  most: number,
): Decision<boolean> {
  const kept = new Set([...mine.held.map(({ subnet }) => subnet), ...mine.spared])
  const gone = [...view.subnets.values()].filter(
    (lease) => lease.hostId === mine.hostId && !kept.has(formatCidr(lease.subnet)),
  )
  const goneTexts = new Set(gone.map(({ subnet }) => formatCidr(subnet)))
  const overlays = [...new Set(gone.map(({ overlay }) => overlay))]
    .flatMap((name) => (name === null ? [] : (view.overlays.get(name) ?? [])))
    .filter((overlay) => !isInhabited(view, overlay, mine))
  const holders = [...view.holders].filter(
    ([text, holder]) => holder === mine.hostId && !kept.has(text),
  )
  const operations: Operation[] = [
    ...view.endpoints
      .filter(({ subnet }) => goneTexts.has(formatCidr(subnet)))
      .map(({ key }) => ({ delete: key })),
    ...overlays.map(({ key }) => ({ delete: key })),
    ...holders.map(([text]) => ({ delete: keys.holder(parseCidr(text)) })),
    ...gone.map(({ key }) => ({ delete: key })),
  ]
  return { operations: operations.slice(0, most), result: operations.length > most }
}

/** Whether anyone but the leases that go is in the overlay, or keeps a subnet of its pool. */
function isInhabited(
  view: ClusterView,
  { name, pool }: OverlayRecord,
  { hostId, held, spared }: Remainder,
): boolean {
  if (held.some((mine) => mine.overlay === name)) return true
  const leased = view.subnets
    .values()
    .some(
      (lease) =>
        lease.overlay === name && (lease.hostId !== hostId || spared.has(formatCidr(lease.subnet))),
    )
  if (leased) return true
  return (
    pool !== null &&
    view.holders
      .entries()
      .some(([text, holder]) => holder !== hostId && containsCidr(pool, parseCidr(text)))
  )
}
