import { containsIp, formatCidr, overlaps, type Cidr } from '../net/cidr.ts'
import { formatIpv4, type Ipv4 } from '../net/ipv4.ts'

/** A route of the main table with scope link: a prefix that the host is itself part of. */
export interface OnLinkRoute {
  readonly to: Cidr
  readonly dev: string
}

export interface HostPrefixes {
  readonly routes: readonly OnLinkRoute[]
  /** Of /etc/resolv.conf; IPv4 only. */
  readonly nameservers: readonly Ipv4[]
}

/**
 * dockerd's own test of a pool that an IPAM driver proposes (moby libnetwork/netutils InferReservedNetworks): it
 * may overlap no on-link route and hold no nameserver. dockerd asks again, without end, for as long as the
 * answer fails it, so nothing that fails here may be answered.
 * @returns a clause that names the route or nameserver, or null
 */
export function routeClash(candidate: Cidr, { routes, nameservers }: HostPrefixes): string | null {
  const nameserver = nameservers.find((ip) => containsIp(candidate, ip))
  if (nameserver !== undefined) {
    return `${formatCidr(candidate)} holds the nameserver ${formatIpv4(nameserver)} of this host's resolv.conf`
  }
  // A default route, also one without a gateway, says nothing about the addresses it covers.
  const route = routes.find(({ to }) => to.base !== 0 && overlaps(to, candidate))
  if (route === undefined) return null
  return `${formatCidr(candidate)} overlaps the route ${formatCidr(route.to)} dev ${route.dev} of this host`
}
