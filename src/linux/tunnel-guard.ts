import type { HostState } from './host-state.ts'
import type { NftSet } from './isolation-sets.ts'

/** Counts what the guard drops. */
export const GUARD_COUNTER = 'to_tunnels'

const FAMILIES = [
  { set: 'tunnel_ends', type: 'type ipv4_addr', match: 'ip daddr', isOf: isIpv4Text },
  { set: 'tunnel_ends6', type: 'type ipv6_addr', match: 'ip6 daddr', isOf: isIpv6Text },
] as const

function isIpv4Text(address: string): boolean {
  return !isIpv6Text(address)
}

function isIpv6Text(address: string): boolean {
  return address.includes(':')
}

/** Where other hosts' tunnels end, by family; a family without one has no set. */
export function guardSets({ tunnelEnds }: HostState): NftSet[] {
  return FAMILIES.flatMap(({ set, type, match, isOf }) => {
    const elements = tunnelEnds?.addresses.filter(isOf) ?? []
    return elements.length === 0 ? [] : [{ name: set, type: [type], match, elements }]
  })
}

/**
 * Only this host itself sends into other hosts' tunnels. What a container sends there by another network
 * than ours leaves with this host's address (Docker's masquerade, or one that it puts on itself), by which
 * those hosts know whose containers may speak: it could speak for all of them, in any overlay. What came in
 * by an uplink is on its way through this host and had its sender's address before.
 */
export function guardRules({ tunnelEnds }: HostState): string[] {
  if (!tunnelEnds || tunnelEnds.uplinks.length === 0) return []
  const uplinks = tunnelEnds.uplinks.map((link) => `"${link}"`).join(', ')
  return FAMILIES.filter(({ isOf }) => tunnelEnds.addresses.some(isOf)).map(
    ({ set, match }) =>
      `iifname != { ${uplinks} } ${match} @${set} udp dport ${tunnelEnds.port} counter name "${GUARD_COUNTER}" drop`,
  )
}
