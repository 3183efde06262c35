import { familyOfText, LINK_PREFIX, type HostState } from './host-state.ts'
import type { NftChain } from './publishing.ts'

/** Before the kernel puts fragments together for the tracking of connections (NF_IP6_PRI_CONNTRACK_DEFRAG is -400). */
const BEFORE_DEFRAGMENTATION = -450

/**
 * Keeps fragments of IPv6 that are on their way as they were sent. Where connections are tracked and frames
 * of bridges are shown to ip6tables, the kernel joins fragments at the bridge and forgets how large they
 * were (br_netfilter): what its sender had cut for a narrow way would go into the tunnel in one piece, be
 * too big for that way, and be cut by nobody, since in IPv6 only senders cut (RFC 8200 section 5).
 */
export function fragmentChains({ allowed }: HostState): NftChain[] {
  const hasIpv6 = allowed.some(({ fromPrefix }) => familyOfText(fromPrefix) === 'ipv6')
  if (!hasIpv6) return []
  return [
    {
      name: 'fragments',
      hook: `type filter hook prerouting priority ${BEFORE_DEFRAGMENTATION}`,
      // What is for the host itself is put together anyway, and its firewall may want to know the port.
      rules: [`iifname "${LINK_PREFIX}*" exthdr frag exists fib daddr type != local notrack`],
    },
  ]
}
