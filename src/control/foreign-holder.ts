import { overlaps, parseCidr } from '../net/cidr.ts'
import type { ClusterView } from '../store/cluster-view.ts'
import type { HeldSubnet } from './journal.ts'

/** The host that has, by the store, a subnet which this host's journal says is its own; null if none. */
export function foreignHolder(
  view: ClusterView,
  mine: Pick<HeldSubnet, 'subnet'>,
  hostId: string,
): string | null {
  const subnet = parseCidr(mine.subnet)
  const lease = view.subnets
    .values()
    .find((other) => other.hostId !== hostId && overlaps(other.subnet, subnet))
  return lease ? (lease.hostId ?? 'a flannel host') : null
}
