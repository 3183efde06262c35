import { containsIp, formatCidr, overlaps, type Cidr } from '../net/cidr.ts'
import { formatIpv4, type Ipv4 } from '../net/ipv4.ts'
import type { ClusterView, StoreProblem, SubnetLease } from './cluster-view.ts'

/** What this host must keep reaching by its own network, whatever the store says. */
export interface Hazards {
  /** VTEPs, etcd endpoints, nameservers, the default gateway; `what` names one: "the nameserver". */
  readonly addresses: readonly { readonly ip: Ipv4; readonly what: string }[]
  /** Prefixes on this host's own links, ours left out. */
  readonly onLink: readonly { readonly prefix: Cidr; readonly dev: string }[]
}

function hazardIn(lease: SubnetLease, hazards: Hazards): string | null {
  const address = hazards.addresses.find(({ ip }) => containsIp(lease.subnet, ip))
  if (address) return `contains ${address.what} ${formatIpv4(address.ip)}`
  const link = hazards.onLink.find(({ prefix }) => overlaps(prefix, lease.subnet))
  return link ? `overlaps ${formatCidr(link.prefix)} on this host's link ${link.dev}` : null
}

/**
 * The view without other hosts' leases that would cut this host off if they were routed into the
 * tunnel: a wrong key in the store must not take a machine from its network.
 */
export function withoutHazards(view: ClusterView, hazards: Hazards, hostId: string): ClusterView {
  const problems: StoreProblem[] = []
  const subnets = new Map<string, SubnetLease>()
  for (const [text, lease] of view.subnets) {
    const reason = lease.hostId === hostId ? null : hazardIn(lease, hazards)
    if (reason === null) subnets.set(text, lease)
    else problems.push({ key: lease.key, reason })
  }
  return problems.length === 0
    ? view
    : { ...view, subnets, problems: [...view.problems, ...problems] }
}
