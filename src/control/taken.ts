import { containsIp, formatCidr, overlaps, parseCidr, sameCidr, type Cidr } from '../net/cidr.ts'
import { isIpv4 } from '../net/ip.ts'
import { formatIpv4 } from '../net/ipv4.ts'
import type { ClusterView } from '../store/cluster-view.ts'

/** What a new prefix may not touch: every lease, every subnet kept for its holder, every pool. */
export function takenPrefixes(view: ClusterView): Cidr[] {
  const pools = [...view.overlays.values(), ...view.subnets.values()]
  return [...takenSubnets(view), ...pools.flatMap(({ pool }) => (pool ? [pool] : []))]
}

/** What a new subnet of a pool may not touch: every lease and every subnet kept for its holder. */
export function takenSubnets(view: ClusterView): Cidr[] {
  return [
    ...view.subnets.values().map((lease) => lease.subnet),
    ...view.holders.keys().map((text) => parseCidr(text)),
  ]
}

/** Names the host whose lease or kept subnet overlaps the candidate, or null. */
export function holderOf(view: ClusterView, candidate: Cidr): string | null {
  const lease = view.subnets.values().find(({ subnet }) => overlaps(subnet, candidate))
  if (lease) return `host ${hostName(view, lease.hostId ?? '')} (${formatCidr(lease.subnet)})`
  const held = view.holders.entries().find(([subnet]) => overlaps(parseCidr(subnet), candidate))
  return held ? `host ${hostName(view, held[1])} (${held[0]}, switched off for now)` : null
}

/** Names the overlay, named yet or not, whose pool overlaps the candidate, or null. */
export function poolOver(view: ClusterView, candidate: Cidr): string | null {
  const overlay = view.overlays.values().find(({ pool }) => pool && overlaps(pool, candidate))
  if (overlay?.pool) return `overlay ${overlay.name} (${formatCidr(overlay.pool)})`
  const lease = view.subnets.values().find(({ pool }) => pool && overlaps(pool, candidate))
  return lease?.pool ? `a new overlay (${formatCidr(lease.pool)})` : null
}

/** Names the host whose tunnel end lies inside the candidate, or null: it would cut that host off. */
export function vtepInside(view: ClusterView, candidate: Cidr): string | null {
  for (const { publicIp, hostId } of [...view.hosts.values(), ...view.subnets.values()]) {
    if (isIpv4(publicIp) && containsIp(candidate, publicIp)) {
      return `host ${hostName(view, hostId ?? '')} itself (its address is ${formatIpv4(publicIp)})`
    }
  }
  return null
}

/** Names what stands in the way of a new pool, or null. `kept` is the block of unnamed subnets. */
export function ownerOfPool(view: ClusterView, pool: Cidr, kept: Cidr): string | null {
  const overlay = view.overlays.values().find((known) => known.pool && overlaps(known.pool, pool))
  if (overlay?.pool) return `overlay ${overlay.name} (${formatCidr(overlay.pool)})`
  const lease = view.subnets
    .values()
    .find(({ subnet, pool: own }) => !(own && sameCidr(own, pool)) && overlaps(own ?? subnet, pool))
  if (lease) {
    return `the subnet ${formatCidr(lease.subnet)} of host ${hostName(view, lease.hostId ?? '')}`
  }
  return overlaps(kept, pool) ? `${formatCidr(kept)}, kept for networks without a name` : null
}

/** The machine's own name where it is known, else its identity. */
export function hostName(view: ClusterView, hostId: string): string {
  return view.hosts.get(hostId)?.hostname ?? (hostId || 'unknown')
}
