import { parseCidr } from '../net/cidr.ts'
import type { ClusterView } from '../store/cluster-view.ts'
import type { Keyspace } from '../store/keyspace.ts'
import { encodeSubnet } from '../store/records.ts'
import type { Operation } from '../store/store.ts'
import { halfOf, subnetValue, type LeasedSubnet, type Publisher } from './subnet-value.ts'

/** The key of a held subnet's lease, which names both families. */
export function leaseKey(keys: Keyspace, held: Pick<LeasedSubnet, 'subnet' | 'ipv6'>): string {
  return keys.subnet(parseCidr(held.subnet), halfOf(held)?.subnet)
}

/**
 * The writes after which the lease says what is held. Where the subnet has got or lost its IPv6 half
 * since, the lease stood under another key, which goes in the same transaction: of two leases of one
 * IPv4 subnet readers would take one for an intruder.
 */
export function leaseWrites(
  view: ClusterView,
  held: LeasedSubnet,
  by: Publisher,
  keys: Keyspace,
): Operation[] {
  const key = leaseKey(keys, held)
  const put = { put: key, value: encodeSubnet(subnetValue(held, by)), lease: by.storeLease }
  const former = view.subnets.get(held.subnet)
  const isMoved = former?.hostId === by.hostId && former.key !== key
  return isMoved ? [{ delete: former.key }, put] : [put]
}
