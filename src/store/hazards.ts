import { formatCidr, overlaps, type Cidr } from '../net/cidr.ts'
import { isCidr6, subnetContains, type Cidr6 } from '../net/cidr6.ts'
import { isIpv4, type Ip } from '../net/ip.ts'
import { formatIp } from '../net/ipv6.ts'
import type { ClusterView, StoreProblem, SubnetLease } from './cluster-view.ts'

/** What this host must keep reaching by its own network, whatever the store says. */
export interface Hazards {
  /** Of either family: VTEPs, etcd endpoints, nameservers, the default gateway; `what` names one: "the nameserver". */
  readonly addresses: readonly { readonly ip: Ip; readonly what: string }[]
  /** Prefixes on this host's own links, ours left out. */
  readonly onLink: readonly { readonly prefix: Cidr; readonly dev: string }[]
}

type Address = Hazards['addresses'][number]

/** Names what of this host's own needs lies inside the prefix, or null: "the nameserver 8.8.8.8". */
export function addressInside(prefix: Cidr | Cidr6, { addresses }: Hazards): string | null {
  const address = addresses.find(({ ip }) => subnetContains(prefix, ip))
  return address ? inWords(address) : null
}

const inWords = ({ what, ip }: Address): string => `${what} ${formatIp(ip)}`

/** Hazards as every lease is looked up in them: addresses of one family each, ascending. */
interface SortedHazards extends Hazards {
  readonly ipv4: readonly Address[]
  readonly ipv6: readonly Address[]
}

function sorted(hazards: Hazards): SortedHazards {
  const ascending = hazards.addresses.toSorted((a, b) => (a.ip < b.ip ? -1 : 1))
  return {
    ...hazards,
    ipv4: ascending.filter(({ ip }) => isIpv4(ip)),
    ipv6: ascending.filter(({ ip }) => !isIpv4(ip)),
  }
}

/** The first of addresses in ascending order that is not below `ip`. */
function firstFrom(addresses: readonly Address[], ip: Ip): Address | undefined {
  let low = 0
  let high = addresses.length
  while (low < high) {
    const middle = (low + high) >>> 1
    if (addresses[middle]!.ip < ip) low = middle + 1
    else high = middle
  }
  return addresses[low]
}

function contained(prefix: Cidr | Cidr6, { ipv4, ipv6 }: SortedHazards): string | null {
  const first = isCidr6(prefix) ? firstFrom(ipv6, prefix.address) : firstFrom(ipv4, prefix.base)
  return first && subnetContains(prefix, first.ip) ? `contains ${inWords(first)}` : null
}

function hazardIn({ subnet }: SubnetLease, hazards: SortedHazards): string | null {
  const inside = contained(subnet, hazards)
  if (inside !== null) return inside
  const link = hazards.onLink.find(({ prefix }) => overlaps(prefix, subnet))
  return link ? `overlaps ${formatCidr(link.prefix)} on this host's link ${link.dev}` : null
}

/** Without IPv6 where that subnet alone is in the way: the lease's IPv4 subnet is reached all the same. */
function withoutHarmfulHalf(
  lease: SubnetLease,
  hazards: SortedHazards,
  problems: StoreProblem[],
): SubnetLease {
  const inside = lease.ipv6 && contained(lease.ipv6.subnet, hazards)
  if (inside === null) return lease
  problems.push({ key: lease.key, part: 'IPv6', reason: inside })
  return { ...lease, ipv6: null }
}

/**
 * The view without other hosts' leases that would cut this host off if they were routed into the
 * tunnel: a wrong key in the store must not take a machine from its network.
 */
export function withoutHazards(view: ClusterView, hazards: Hazards, hostId: string): ClusterView {
  const ascending = sorted(hazards)
  const problems: StoreProblem[] = []
  const subnets = new Map<string, SubnetLease>()
  for (const [text, lease] of view.subnets) {
    const foreign = lease.hostId !== hostId
    const reason = foreign ? hazardIn(lease, ascending) : null
    if (reason !== null) problems.push({ key: lease.key, reason })
    else subnets.set(text, foreign ? withoutHarmfulHalf(lease, ascending, problems) : lease)
  }
  return problems.length === 0
    ? view
    : { ...view, subnets, problems: [...view.problems, ...problems] }
}
