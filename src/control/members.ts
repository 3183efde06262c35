import { formatCidr, parseCidr, type Cidr } from '../net/cidr.ts'
import type { ClusterView, SubnetLease } from '../store/cluster-view.ts'
import type { Endpoint, HeldSubnet, Journal, Network } from './journal.ts'

/** A Docker network of this host together with its subnet and its attachments. */
export interface Member {
  readonly network: Network
  readonly held: HeldSubnet
  readonly endpoints: readonly Endpoint[]
}

/** This host's networks, in the order of their subnets' text, so that all that follows is stable. */
export function membersOf(journal: Journal): Member[] {
  const endpoints = Map.groupBy(journal.endpoints.values(), (endpoint) => endpoint.networkId)
  return journal.networks
    .values()
    .flatMap((network) => {
      const held = journal.subnets.get(network.subnet)
      return held ? [{ network, held, endpoints: endpoints.get(network.id) ?? [] }] : []
    })
    .sort((a, b) => a.held.subnet.localeCompare(b.held.subnet))
}

/** The leases of other hosts in an overlay, by subnet; what has no identifier yet is in none. */
export function remoteLeases(view: ClusterView, hostId: string, overlay: string): SubnetLease[] {
  return [...view.subnets.values()]
    .filter((lease) => lease.overlay === overlay && lease.vni !== 0 && lease.hostId !== hostId)
    .sort((a, b) => a.subnet.base - b.subnet.base)
}

/**
 * The prefixes through which a member reaches the rest of its overlay: the pool, or each remote
 * subnet. None before the overlay is known.
 */
export function remotePrefixes(member: Member, view: ClusterView, hostId: string): Cidr[] {
  const { held } = member
  if (held.overlay === null || held.vni === 0) return []
  if (held.pool !== null) return [parseCidr(held.pool)]
  return remoteLeases(view, hostId, held.overlay).map((lease) => lease.subnet)
}

/** Whether two networks of this host are different and in one overlay. */
export const isSibling = (a: Member, b: Member): boolean =>
  a.network.id !== b.network.id && a.held.vni !== 0 && a.held.vni === b.held.vni

/**
 * What a container of this network needs static routes for: every other subnet of the overlay. A
 * pooled overlay needs none, since its containers see the whole pool on-link.
 */
export function staticRoutes(
  member: Member,
  members: readonly Member[],
  view: ClusterView,
  hostId: string,
): string[] {
  if (member.held.pool !== null) return []
  const siblings = members
    .filter((other) => isSibling(other, member))
    .map((other) => other.held.subnet)
  const remote = remotePrefixes(member, view, hostId).map(formatCidr)
  return member.held.overlay === null ? [] : [...new Set([...siblings, ...remote])].sort()
}
