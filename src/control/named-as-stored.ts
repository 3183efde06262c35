import type { ClusterView } from '../store/cluster-view.ts'
import type { HeldSubnet } from './journal.ts'

/**
 * A held subnet in the overlay that the store has it in, if the journal has it in none: a name is
 * written to the store first. Whoever writes the lease meanwhile must not take the overlay out of it,
 * since the lease is what tells which overlay may be empty once the subnet is given back.
 */
export function namedAsStored(view: ClusterView, mine: HeldSubnet, hostId: string): HeldSubnet {
  if (mine.overlay !== null) return mine
  const lease = view.subnets.get(mine.subnet)
  if (lease?.hostId !== hostId || lease.overlay === null) return mine
  return { ...mine, overlay: lease.overlay, vni: lease.vni }
}
