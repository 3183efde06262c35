import { OverlayError } from '../errors.ts'
import { containsIp, parseCidr, parseInterfaceAddress } from '../net/cidr.ts'
import { containsIp6, parseCidr6, parseInterfaceAddress6 } from '../net/cidr6.ts'
import { formatIpv4 } from '../net/ipv4.ts'
import { formatIpv6 } from '../net/ipv6.ts'
import { macOfIpv4, parseMac } from '../net/mac.ts'
import type { AddressPair, ChosenAddresses } from './endpoint-addresses.ts'
import type { Endpoint, Network } from './journal.ts'
import type { Member } from './members.ts'

/** An attachment as its driver asks for it; what is null is ours to choose. */
export interface EndpointWish extends AddressPair {
  readonly id: string
  readonly networkId: string
  /** Any-case colon form. */
  readonly mac: string | null
}

/** The record of an attachment that nothing has been done for yet. @throws OverlayError bad_input */
export function newEndpoint(
  wish: EndpointWish,
  { address, address6 }: ChosenAddresses,
  { held, network }: Member,
): Endpoint {
  const { ip } = parseInterfaceAddress(address)
  if (!containsIp(parseCidr(held.subnet), ip)) {
    throw outside(formatIpv4(ip), held.subnet, 'subnet', network)
  }
  if (address6 !== null) refuseOutside6(address6, held.ipv6?.subnet, network)
  return {
    id: wish.id,
    networkId: wish.networkId,
    address,
    address6,
    mac: wish.mac === null ? macOfIpv4(ip) : parseMac(wish.mac),
    answered: {
      address: wish.address === null && network.ipv4,
      address6: wish.address6 === null && address6 !== null,
      mac: wish.mac === null,
    },
    sandbox: null,
    joinedRoutes: [],
    joinedAt: 0,
    ports: [],
  }
}

function refuseOutside6(address6: string, subnet: string | undefined, network: Network): void {
  const { ip } = parseInterfaceAddress6(address6)
  if (subnet === undefined) {
    throw new OverlayError(
      'bad_input',
      `${formatIpv6(ip)} is an IPv6 address, and the network ${nameOf(network)} has no IPv6; leave --ip6 out, or make the network with --ipv6`,
    )
  }
  if (containsIp6(parseCidr6(subnet), ip)) return
  throw outside(formatIpv6(ip), subnet, 'IPv6 subnet', network)
}

const outside = (ip: string, subnet: string, noun: string, network: Network): OverlayError =>
  new OverlayError(
    'bad_input',
    `${ip} is not in ${subnet}, this host's ${noun} of the network ${nameOf(network)}; choose an address of it, or leave the choice to Docker`,
  )

const nameOf = ({ name, id }: Network): string => name ?? id.slice(0, 12)
