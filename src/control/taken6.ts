import { slotAt6 } from '../ipam/free-slots6.ts'
import { containsCidr, parseCidr, type Cidr } from '../net/cidr.ts'
import { containsIp6, formatCidr6, overlaps6, type Cidr6 } from '../net/cidr6.ts'
import { isIpv4 } from '../net/ip.ts'
import { formatIpv6 } from '../net/ipv6.ts'
import type { ClusterView } from '../store/cluster-view.ts'
import { hostName } from './taken.ts'

/** The IPv6 subnets of all leases but the one of that IPv4 subnet ("10.33.5.0/24"), whose half is chosen. */
export function takenSubnets6(view: ClusterView, except: string): Cidr6[] {
  return [...view.subnets].flatMap(([text, { ipv6 }]) =>
    ipv6 === null || text === except ? [] : [ipv6.subnet],
  )
}

/**
 * The parts of an IPv6 pool that belong to subnets of the IPv4 pool whose hosts are away: those are kept
 * by a key of IPv4 alone, and their IPv6 subnets are most likely the ones of the same number.
 */
export function awaitedSubnets6(
  view: ClusterView,
  pool: Cidr,
  pool6: Cidr6,
  length: number,
): Cidr6[] {
  const count = 2 ** (length - pool6.length)
  return [...view.holders.keys()].flatMap((text) => {
    const subnet = parseCidr(text)
    if (view.subnets.has(text) || !containsCidr(pool, subnet)) return []
    const index = subnetIndex(pool, subnet)
    return index < count ? [slotAt6(pool6, length, index)] : []
  })
}

/** Which one of the subnets of its length it is in the pool: 5 for 10.33.5.0/24 in 10.33.0.0/17. */
export const subnetIndex = (pool: Cidr, subnet: Cidr): number =>
  (subnet.base - pool.base) / 2 ** (32 - subnet.length)

/** Names the host whose lease has an overlapping IPv6 subnet, or null; `except` as above. */
export function holderOf6(view: ClusterView, candidate: Cidr6, except: string): string | null {
  for (const [text, { ipv6, hostId }] of view.subnets) {
    if (ipv6 === null || text === except || !overlaps6(ipv6.subnet, candidate)) continue
    return `host ${hostName(view, hostId ?? '')} (${formatCidr6(ipv6.subnet)})`
  }
  return null
}

/** Names what stands in the way of a new IPv6 prefix: an overlay's pool or a host's subnet; or null. */
export function ownerOf6(view: ClusterView, candidate: Cidr6, except: string): string | null {
  const overlay = view.overlays.values().find(({ pool6 }) => pool6 && overlaps6(pool6, candidate))
  if (overlay?.pool6) return `overlay ${overlay.name} (${formatCidr6(overlay.pool6)})`
  for (const [text, { ipv6 }] of view.subnets) {
    if (!ipv6?.pool || text === except || !overlaps6(ipv6.pool, candidate)) continue
    return `a new overlay (${formatCidr6(ipv6.pool)})`
  }
  return holderOf6(view, candidate, except)
}

/** Names the host whose tunnel end lies inside the candidate, or null: it would cut that host off. */
export function vtepInside6(view: ClusterView, candidate: Cidr6): string | null {
  for (const { publicIp, hostId } of [...view.hosts.values(), ...view.subnets.values()]) {
    if (!isIpv4(publicIp) && containsIp6(candidate, publicIp)) {
      return `host ${hostName(view, hostId ?? '')} itself (its address is ${formatIpv6(publicIp)})`
    }
  }
  return null
}
