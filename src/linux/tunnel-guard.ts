import type { HostState } from './host-state.ts'
import type { NftSet } from './isolation-sets.ts'
import type { NftChain } from './publishing.ts'

/** Counts what the guard drops. */
export const GUARD_COUNTER = 'to_tunnels'

/** The chain that lets through what another host sent. */
const BY_A_HOST = 'by_a_host'

const FAMILIES = [
  { set: 'tunnel_ends', type: 'type ipv4_addr', ip: 'ip', isOf: isIpv4Text },
  { set: 'tunnel_ends6', type: 'type ipv6_addr', ip: 'ip6', isOf: isIpv6Text },
] as const

function isIpv4Text(address: string): boolean {
  return !isIpv6Text(address)
}

function isIpv6Text(address: string): boolean {
  return address.includes(':')
}

/** Where other hosts' tunnels end, by family; a family without one has no set. */
export function guardSets({ tunnelEnds }: HostState): NftSet[] {
  return FAMILIES.flatMap(({ set, type, ip, isOf }) => {
    const elements = tunnelEnds?.addresses.filter(isOf) ?? []
    return elements.length === 0
      ? []
      : [{ name: set, type: [type], match: `${ip} daddr`, elements }]
  })
}

/**
 * Only hosts themselves send into other hosts' tunnels. What a container sends there by another network
 * than ours leaves with this host's address (Docker's masquerade, or one that it puts on itself), by which
 * those hosts know whose containers may speak: it could speak for all of them, in any overlay. What came in
 * by an uplink is on its way through this host and had its sender's address before.
 */
export function guardRules(state: HostState): string[] {
  return guarded(state, ({ set, ip, from, port }) => [
    `${from} ${ip} daddr @${set} udp dport ${port} jump ${BY_A_HOST}`,
  ])
}

/**
 * Behind a router or a hypervisor there are hosts, too: their packets come by the link that leads to them
 * (fib, the reverse path). Nor does another link bring packets to this host's own tunnel in their name.
 */
export function guardChains(state: HostState): NftChain[] {
  const exempt = guarded(state, ({ set, ip }) => [
    `${ip} saddr @${set} fib saddr . iif oif exists return`,
  ])
  if (exempt.length === 0) return []
  return [
    {
      name: BY_A_HOST,
      hook: null,
      rules: [...exempt, `counter name "${GUARD_COUNTER}" drop`],
    },
    {
      name: 'input',
      hook: 'type filter hook input priority -10',
      rules: guarded(state, ({ set, ip, from, port }) => [
        `${from} ${ip} saddr @${set} udp dport ${port} fib saddr . iif oif missing counter name "${GUARD_COUNTER}" drop`,
      ]),
    },
  ]
}

interface Guarded {
  readonly set: string
  readonly ip: 'ip' | 'ip6'
  /** Matches what no uplink brought. */
  readonly from: string
  readonly port: number
}

/** The rules of each family in which there are other hosts. */
function guarded({ tunnelEnds }: HostState, rules: (family: Guarded) => string[]): string[] {
  if (!tunnelEnds || tunnelEnds.uplinks.length === 0) return []
  const { addresses, port, uplinks } = tunnelEnds
  const from = `iifname != { ${uplinks.map((link) => `"${link}"`).join(', ')} }`
  return FAMILIES.filter(({ isOf }) => addresses.some(isOf)).flatMap(({ set, ip }) =>
    rules({ set, ip, from, port }),
  )
}
