import { AddressPool, AddressPool6, type AddressPurpose } from '../ipam/address-pool.ts'
import { containsIp, formatCidr, parseCidr, parseInterfaceAddress } from '../net/cidr.ts'
import { containsIp6, formatCidr6, parseInterfaceAddress6 } from '../net/cidr6.ts'
import { formatIpv4, parseIpv4 } from '../net/ipv4.ts'
import { formatIpv6, parseIpv6 } from '../net/ipv6.ts'
import { macBytes, parseMac, type Mac } from '../net/mac.ts'
import type { Ipv6Half, SubnetLease } from '../store/cluster-view.ts'
import type { Endpoint, HeldSubnet, HeldSubnet6, Network } from './journal.ts'
import type { KnownEndpoint, KnownNetwork } from './known-networks.ts'

/** The held subnet of a network, from its lease and from what is known of the network. */
export function rebuiltSubnet(lease: SubnetLease, known: KnownNetwork, now: number): HeldSubnet {
  const { subnet, pool, kind, overlay, vni } = lease
  const addresses = new AddressPool(subnet)
  const take = (purpose: AddressPurpose, text: string): void => {
    const address = parseIpv4(text)
    // What is elsewhere in the pool is not this subnet's to give out.
    const isFree = addresses.uses().every(({ ip }) => ip !== address)
    if (containsIp(subnet, address) && isFree) addresses.request({ address, purpose, now })
  }
  const gateway = known.gateway ?? formatIpv4(subnet.base + 1)
  take('gateway', gateway)
  for (const text of known.reserved.filter((each) => !isIpv6(each))) take('reserved', text)
  for (const endpoint of known.endpoints) {
    const address = addressOf(endpoint, formatCidr(subnet))
    if (address !== null) take('endpoint', address)
  }
  return {
    subnet: formatCidr(subnet),
    kind,
    pool: pool === null ? null : formatCidr(pool),
    prefixLength: (pool ?? subnet).length,
    overlay,
    vni,
    gateway,
    networkId: known.id,
    since: now,
    addresses: kind === 'docker' ? null : addresses.toRecord(),
    ipv6: lease.ipv6 && rebuiltHalf(lease.ipv6, known, now),
  }
}

function rebuiltHalf({ subnet, pool }: Ipv6Half, known: KnownNetwork, now: number): HeldSubnet6 {
  const gateway = known.gateway6 ?? formatIpv6(subnet.address + 1n)
  const half = { subnet: formatCidr6(subnet), pool: pool && formatCidr6(pool), gateway }
  if (known.ipam === 'docker') return { ...half, addresses: null }
  const addresses = new AddressPool6(subnet)
  const take = (purpose: AddressPurpose, text: string): void => {
    const address = parseIpv6(text)
    const isFree = addresses.uses().every(({ ip }) => ip !== address)
    if (containsIp6(subnet, address) && isFree) addresses.request({ address, purpose, now })
  }
  take('gateway', gateway)
  for (const text of known.reserved.filter(isIpv6)) take('reserved', text)
  for (const { address6 } of known.endpoints) {
    if (address6 !== null) take('endpoint', formatIpv6(parseInterfaceAddress6(address6).ip))
  }
  return { ...half, addresses: addresses.toRecord() }
}

/** @param bridgeMac what containers hold for the bridge that is there; null when there is none */
export function rebuiltNetwork(
  { id, ipam, name, internal, ipv4, mtu, egress }: KnownNetwork,
  subnet: string,
  bridgeMac: string | null,
): Network {
  return { id, subnet, ipam, name, internal, ipv4, mtu, egress, bridgeMac }
}

/** @returns null where nothing tells the address that the container has in our own records */
export function rebuiltEndpoint(
  known: KnownEndpoint,
  { id: networkId, ipam }: KnownNetwork,
  { subnet, prefixLength, ipv6 }: HeldSubnet,
  sandbox: string | null,
  now: number,
): Endpoint | null {
  const { id, mac } = known
  const own = addressOf(known, subnet)
  if (own === null) return null
  const address = known.address ?? `${own}/${prefixLength}`
  const address6 = ipv6 === null ? null : known.address6
  const isOurs = ipam === 'null'
  const answered = { address: isOurs, address6: isOurs && address6 !== null, mac: false }
  const joined = { sandbox, joinedRoutes: [], joinedAt: now }
  return { id, networkId, address, address6, mac: parseMac(mac), answered, ...joined, ports: [] }
}

/** Its IPv4 address; of a container that never heard of one, the one that its MAC was derived from. */
function addressOf({ address, mac }: KnownEndpoint, subnet: string): string | null {
  if (address !== null) return formatIpv4(parseInterfaceAddress(address).ip)
  const ip = ipv4OfMac(parseMac(mac))
  return ip !== null && containsIp(parseCidr(subnet), ip) ? formatIpv4(ip) : null
}

/** What `macOfIpv4` was given; null for a MAC that it did not make. */
function ipv4OfMac(mac: Mac): number | null {
  const [first, second, ...rest] = macBytes(mac)
  if (first !== 0x02 || second !== 0x42) return null
  return rest.reduce((ip, byte) => ip * 256 + byte, 0)
}

const isIpv6 = (address: string): boolean => address.includes(':')
