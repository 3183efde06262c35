import { formatCidr, parseInterfaceAddress, prefixOf } from '../net/cidr.ts'
import { formatCidr6, parseInterfaceAddress6, prefixOf6 } from '../net/cidr6.ts'
import { formatIpv4 } from '../net/ipv4.ts'
import { familyOfText, type Bridge } from './host-state.ts'
import type { ObservedLink } from './observe.ts'

/** The metric of the routes that the kernel makes for addresses of IPv6 (IP6_RT_PRIO_ADDRCONF). */
const ADDRESS_METRIC6 = 256

/** The kernel makes the on-link route with the address; deleted alone, only we bring it back. */
export function lostOnLinkRoutes(
  { name, addresses }: Bridge,
  have: ObservedLink,
  onLink: ReadonlySet<string>,
): string[] {
  return addresses
    .filter((address) => have.addresses.includes(address))
    .map((address) => (familyOfText(address) === 'ipv6' ? route6(address) : route4(address)))
    .filter((route) => route !== null)
    .map(({ prefix, rest }) => ({ route: `${prefix} dev ${name}`, rest }))
    .filter(({ route }) => !onLink.has(route))
    .map(({ route, rest }) => `route add ${route} proto kernel ${rest}`)
}

/** An address that stands alone has none. */
interface OnLinkRoute {
  readonly prefix: string
  readonly rest: string
}

function route4(address: string): OnLinkRoute | null {
  const { ip, length } = parseInterfaceAddress(address)
  if (length === 32) return null
  return { prefix: formatCidr(prefixOf(ip, length)), rest: `scope link src ${formatIpv4(ip)}` }
}

function route6(address: string): OnLinkRoute | null {
  const { ip, length } = parseInterfaceAddress6(address)
  if (length === 128) return null
  return { prefix: formatCidr6(prefixOf6(ip, length)), rest: `metric ${ADDRESS_METRIC6}` }
}
