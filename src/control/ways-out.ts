import { bridgeName, type WayOut } from '../linux/host-state.ts'
import { formatIpv4 } from '../net/ipv4.ts'
import { parseInterfaceAddress } from '../net/cidr.ts'
import type { Endpoint } from './journal.ts'
import type { Member } from './members.ts'

/** Where this host's network leads out of it, and what may not go there. */
export interface Outside {
  readonly uplinks: readonly string[]
  readonly tunnelPort: number
}

/** The bridges that are ways out, as their networks were asked to be; internal networks have none. */
export function waysOut(members: readonly Member[], outside: Outside): WayOut[] {
  return members
    .filter(({ network }) => network.egress === 'bridge' && !network.internal)
    .map(({ network, held, endpoints }) => ({
      bridge: bridgeName(network.id),
      subnet: held.subnet,
      ...outside,
      published: endpoints.flatMap(publishedOf),
    }))
}

function publishedOf({ address, ports }: Endpoint): WayOut['published'] {
  const own = formatIpv4(parseInterfaceAddress(address).ip)
  return ports.map(({ protocol, hostIp, hostPort, port }) => {
    return { protocol, hostIp, hostPort, address: own, port }
  })
}
