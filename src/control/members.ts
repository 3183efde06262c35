import { formatCidr, parseCidr, type Cidr } from '../net/cidr.ts'
import { formatCidr6, parseCidr6, type Cidr6 } from '../net/cidr6.ts'
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

/** The same of IPv6; none for a network without. */
export function remotePrefixes6({ held }: Member, view: ClusterView, hostId: string): Cidr6[] {
  if (held.ipv6 === null || held.overlay === null || held.vni === 0) return []
  if (held.ipv6.pool !== null) return [parseCidr6(held.ipv6.pool)]
  return remoteLeases(view, hostId, held.overlay).flatMap(({ ipv6 }) => ipv6?.subnet ?? [])
}

/** Whether two networks of this host are different and in one overlay. */
export const isSibling = (a: Member, b: Member): boolean =>
  a.network.id !== b.network.id && a.held.vni !== 0 && a.held.vni === b.held.vni

/**
 * What a container of this network needs static routes for: every other subnet of the overlay. A
 * pooled overlay needs none in IPv4, since its containers see the whole pool on-link; in IPv6, where a
 * bridge cannot answer for a whole pool, it needs one for the pool. Those of IPv4 come first.
 */
export function staticRoutes(
  member: Member,
  members: readonly Member[],
  view: ClusterView,
  hostId: string,
): string[] {
  const { held, network } = member
  if (held.overlay === null) return []
  const siblings = members.filter((other) => isSibling(other, member))
  const remote = remotePrefixes(member, view, hostId).map(formatCidr)
  const remote6 = remotePrefixes6(member, view, hostId).map(formatCidr6)
  const isRouted = held.pool === null
  return [
    ...(isRouted && network.ipv4
      ? distinct(
          siblings.map((other) => other.held.subnet),
          remote,
        )
      : []),
    ...(held.ipv6 ? distinct(isRouted ? siblings.flatMap(subnet6Of) : [], remote6) : []),
  ]
}

const subnet6Of = ({ held }: Member): string[] => (held.ipv6 ? [held.ipv6.subnet] : [])

const distinct = (...texts: readonly (readonly string[])[]): string[] =>
  [...new Set(texts.flat())].sort()
