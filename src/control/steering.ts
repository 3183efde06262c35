import {
  compareCidr,
  containsCidr,
  containsIp,
  overlaps,
  parseCidr,
  sameCidr,
  type Cidr,
} from '../net/cidr.ts'
import { isIpv4 } from '../net/ip.ts'
import type { ClusterView } from '../store/cluster-view.ts'
import type { Hazards } from '../store/hazards.ts'
import { poolOver } from './taken.ts'

/**
 * The prefixes that Docker's own IPAM on this host must not choose for a plain network: those that
 * other hosts' plain networks and private bridges have. Docker passes over what has an on-link route,
 * so each gets one that leads nowhere; never one that would hide something this host needs.
 */
export function steeringPrefixes(view: ClusterView, hostId: string, hazards: Hazards): Cidr[] {
  const plain = [...view.subnets.values()]
    .filter((lease) => lease.kind === 'docker' && lease.hostId !== hostId)
    .map((lease) => lease.subnet)
  const holders = [...view.holders]
    .filter(([, holder]) => holder !== hostId)
    .map(([text]) => parseCidr(text))
    // A pool has one route into the tunnel, which a route to a part of it would cut.
    .filter((subnet) => !inNetwork(view, subnet) && poolOver(view, subnet) === null)
  const bridges = [...view.privatePrefixes]
    .filter(([owner]) => owner !== hostId)
    .flatMap(([, prefixes]) => prefixes)
  // Every host has the same few bridges, so what is equal goes before anything is compared.
  return [...plain, ...holders, ...bridges]
    .sort(compareCidr)
    .filter((prefix, at, all) => at === 0 || !sameCidr(prefix, all[at - 1]!))
    .filter((prefix) => isHarmless(prefix, hazards))
}

/** The cluster's own network is not Docker's to choose from; its subnets need no steering. */
const inNetwork = (view: ClusterView, prefix: Cidr): boolean =>
  view.config !== null && containsCidr(view.config.network, prefix)

function isHarmless(prefix: Cidr, hazards: Hazards): boolean {
  return (
    !hazards.addresses.some(({ ip }) => isIpv4(ip) && containsIp(prefix, ip)) &&
    !hazards.onLink.some((link) => overlaps(link.prefix, prefix))
  )
}
