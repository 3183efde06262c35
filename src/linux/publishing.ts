import type { HostState, PublishedPort, WayOut } from './host-state.ts'

/** A chain of our nftables table, with the line that hooks it in where it is not only jumped to. */
export interface NftChain {
  readonly name: string
  readonly hook: string | null
  readonly rules: readonly string[]
}

/**
 * What of the forwarding belongs to ways out, to be asked before the rest is dropped. A container goes
 * out by the uplinks and hears their answers; to a published port anybody may come, and nowhere else.
 * Addresses are translated before (destination) and after (source), so a container is seen by its own.
 */
export function wayOutRules({ waysOut }: HostState): string[] {
  return waysOut.flatMap(({ bridge, subnet, uplinks, tunnelPort, published }) => [
    `iifname "${bridge}" udp dport ${tunnelPort} counter name "out_of_ours" drop`,
    ...uplinks.flatMap((uplink) => [
      `iifname "${bridge}" oifname "${uplink}" ip saddr ${subnet} accept`,
      `iifname "${uplink}" oifname "${bridge}" ip daddr ${subnet} ct state established,related accept`,
    ]),
    ...published.map(({ protocol, address, port }) => {
      return `oifname "${bridge}" ct status dnat ip daddr ${address} ${protocol} dport ${port} accept`
    }),
    // ICMP errors of who came, and all that goes back to them, by whatever link they came.
    `oifname "${bridge}" ct status dnat ct state related accept`,
    `iifname "${bridge}" ip saddr ${subnet} ct status dnat ct direction reply accept`,
  ])
}

/**
 * The chains that translate addresses; none without a way out, since they make the kernel track every
 * connection. Loopback addresses may leave for these bridges (route_localnet, so that 127.0.0.1 reaches
 * published ports), so what comes from there with one is forged and is turned back first of all.
 */
export function wayOutChains({ waysOut }: HostState): NftChain[] {
  if (waysOut.length === 0) return []
  const toPublished = ['fib daddr type local jump published']
  return [
    {
      name: 'guard',
      hook: 'type filter hook prerouting priority -300',
      rules: waysOut.flatMap(({ bridge }) => [
        `iifname "${bridge}" ip saddr 127.0.0.0/8 drop`,
        `iifname "${bridge}" ip daddr 127.0.0.0/8 drop`,
      ]),
    },
    {
      name: 'published',
      hook: null,
      rules: waysOut
        .flatMap(({ published }) => published)
        .toSorted(byHostIp)
        .map(translation),
    },
    { name: 'arriving', hook: 'type nat hook prerouting priority -100', rules: toPublished },
    { name: 'own', hook: 'type nat hook output priority -100', rules: toPublished },
    {
      name: 'leaving',
      hook: 'type nat hook postrouting priority 100',
      rules: waysOut.flatMap(masquerades),
    },
  ]
}

/** Of two ports of one number, the one at a certain address is asked first. */
const byHostIp = (a: PublishedPort, b: PublishedPort): number =>
  Number(a.hostIp === null) - Number(b.hostIp === null)

function translation({ protocol, hostIp, hostPort, address, port }: PublishedPort): string {
  const at = hostIp === null ? '' : `ip daddr ${hostIp} `
  return `${at}${protocol} dport ${hostPort} dnat ip to ${address}:${port}`
}

function masquerades({ bridge, subnet, uplinks }: WayOut): string[] {
  return [
    ...uplinks.map((uplink) => `oifname "${uplink}" ip saddr ${subnet} masquerade`),
    `oifname "${bridge}" ip saddr 127.0.0.0/8 masquerade`,
    // A neighbour on the same bridge would answer its fellow directly, who did not ask it.
    `oifname "${bridge}" ct status dnat ip saddr ${subnet} ip daddr ${subnet} masquerade`,
  ]
}
