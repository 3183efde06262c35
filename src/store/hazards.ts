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

type Address = Hazards['addresses'][number]

/** Names what of this host's own needs lies inside the prefix, or null: "the nameserver 8.8.8.8". */
export function addressInside(prefix: Cidr, { addresses }: Hazards): string | null {
  const address = addresses.find(({ ip }) => containsIp(prefix, ip))
  return address ? inWords(address) : null
}

const inWords = ({ what, ip }: Address): string => `${what} ${formatIpv4(ip)}`

/** The first of addresses in ascending order that is not below `ip`: every lease is looked up so. */
function firstFrom(addresses: readonly Address[], ip: Ipv4): Address | undefined {
  let low = 0
  let high = addresses.length
  while (low < high) {
    const middle = (low + high) >>> 1
    if (addresses[middle]!.ip < ip) low = middle + 1
    else high = middle
  }
  return addresses[low]
}

function hazardIn(lease: SubnetLease, hazards: Hazards): string | null {
  const address = firstFrom(hazards.addresses, lease.subnet.base)
  if (address && containsIp(lease.subnet, address.ip)) return `contains ${inWords(address)}`
  const link = hazards.onLink.find(({ prefix }) => overlaps(prefix, lease.subnet))
  return link ? `overlaps ${formatCidr(link.prefix)} on this host's link ${link.dev}` : null
}

/**
 * The view without other hosts' leases that would cut this host off if they were routed into the
 * tunnel: a wrong key in the store must not take a machine from its network.
 */
export function withoutHazards(view: ClusterView, hazards: Hazards, hostId: string): ClusterView {
  const sorted = { ...hazards, addresses: hazards.addresses.toSorted((a, b) => a.ip - b.ip) }
  const problems: StoreProblem[] = []
  const subnets = new Map<string, SubnetLease>()
  for (const [text, lease] of view.subnets) {
    const reason = lease.hostId === hostId ? null : hazardIn(lease, sorted)
    if (reason === null) subnets.set(text, lease)
    else problems.push({ key: lease.key, reason })
  }
  return problems.length === 0
    ? view
    : { ...view, subnets, problems: [...view.problems, ...problems] }
}
