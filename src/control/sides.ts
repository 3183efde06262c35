import { formatCidr, parseCidr } from '../net/cidr.ts'
import { formatCidr6, parseCidr6 } from '../net/cidr6.ts'
import { formatIpv4 } from '../net/ipv4.ts'
import { formatIpv6 } from '../net/ipv6.ts'
import type { ClusterView } from '../store/cluster-view.ts'
import { isSibling, remoteLeases, remotePrefixes, remotePrefixes6, type Member } from './members.ts'

/** A network of this host in one family; everything as text, "10.33.5.0/24" or "fd0d:cafe:1:5::/64". */
export interface Side {
  readonly family: 'ipv4' | 'ipv6'
  readonly subnet: string
  /** The first address of the subnet: what this host itself is called in the overlay, as on a flannel host. */
  readonly own: string
  /** The prefixes through which the rest of the overlay is reached. */
  readonly remote: readonly string[]
  /** The subnets of other hosts in the overlay, with the overlay MTU that each host offers. */
  readonly peers: readonly { readonly subnet: string; readonly mtu: number | null }[]
}

/** The families that a network has: IPv4, which it has in any case, then IPv6. */
export function sidesOf(member: Member, view: ClusterView, hostId: string): Side[] {
  const { held } = member
  const leases = remoteLeases(view, hostId, held.overlay ?? '')
  const side: Side = {
    family: 'ipv4',
    subnet: held.subnet,
    own: formatIpv4(parseCidr(held.subnet).base),
    remote: remotePrefixes(member, view, hostId).map(formatCidr),
    peers: leases.map(({ subnet, mtu }) => ({ subnet: formatCidr(subnet), mtu })),
  }
  if (held.ipv6 === null) return [side]
  const side6: Side = {
    family: 'ipv6',
    subnet: held.ipv6.subnet,
    own: formatIpv6(parseCidr6(held.ipv6.subnet).address),
    remote: remotePrefixes6(member, view, hostId).map(formatCidr6),
    peers: leases.flatMap(({ ipv6, mtu }) =>
      ipv6 === null ? [] : [{ subnet: formatCidr6(ipv6.subnet), mtu }],
    ),
  }
  return [side, side6]
}

/** The subnets that other networks of this host have in the same overlay and family. */
export function siblingSubnets(
  member: Member,
  members: readonly Member[],
  family: Side['family'],
): { readonly networkId: string; readonly subnet: string }[] {
  return members
    .filter((other) => isSibling(other, member))
    .flatMap(({ network, held }) => {
      const subnet = family === 'ipv4' ? held.subnet : held.ipv6?.subnet
      return subnet === undefined ? [] : [{ networkId: network.id, subnet }]
    })
}
