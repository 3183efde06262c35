import { OverlayError } from '../errors.ts'
import { MIN_IPV6_MTU } from '../net/mtu.ts'
import type { HostFacts } from './host-facts.ts'
import type { Network } from './journal.ts'
import type { Member } from './members.ts'

/** What of a host decides whether its links can have IPv6. */
type Ipv6Facts = Pick<HostFacts, 'overlayMtu' | 'hasIpv6'>

interface Obstacle {
  readonly reason: string
  readonly remedy: string
}

/** Why no link of a network can have IPv6 on this host; null where it can. */
export function ipv6Obstacle(
  { mtu }: Pick<Network, 'mtu'>,
  { overlayMtu, hasIpv6 }: Ipv6Facts,
): Obstacle | null {
  if (!hasIpv6) {
    return {
      reason: "this host's kernel has no IPv6",
      remedy: 'start it without ipv6.disable=1',
    }
  }
  const inside = Math.min(mtu ?? overlayMtu, overlayMtu)
  if (inside >= MIN_IPV6_MTU) return null
  return {
    reason: `IPv6 needs packets of ${MIN_IPV6_MTU} bytes or more (RFC 8200 section 5), and this network would carry ${inside}, of ${overlayMtu} that the network between the hosts leaves to containers`,
    remedy: 'choose a larger MTU',
  }
}

/**
 * The networks as this host can carry them now. One that had IPv6 goes on with IPv4 alone when the network
 * between the hosts became too narrow for it, or the kernel came back without it: what the kernel would
 * refuse must not stand in the way of everything else.
 * @param tell a sentence for each network that lost its IPv6
 */
export function carried(
  members: readonly Member[],
  facts: Ipv6Facts,
  tell: (sentence: string) => void = () => undefined,
): Member[] {
  return members.map((member) => {
    const { network, held } = member
    if (held.ipv6 === null) return member
    const obstacle = ipv6Obstacle(network, facts)
    if (obstacle === null) return member
    tell(
      `the network with ${held.subnet} goes on without its IPv6 ${held.ipv6.subnet}: ${obstacle.reason}`,
    )
    return { ...member, held: { ...held, ipv6: null } }
  })
}

/** @throws OverlayError host_state for a container that would get an IPv6 address nothing here can carry */
export function refuseUncarried({ network, held }: Member, facts: Ipv6Facts): void {
  const obstacle = held.ipv6 === null ? null : ipv6Obstacle(network, facts)
  if (obstacle === null) return
  throw new OverlayError(
    'host_state',
    `this network has IPv6, which this host cannot carry any more: ${obstacle.reason}; ${obstacle.remedy}, or make the network again without --ipv6`,
  )
}
