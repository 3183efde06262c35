import { AddressPool, type AddressPurpose } from '../ipam/address-pool.ts'
import { containsIp, formatCidr, parseInterfaceAddress } from '../net/cidr.ts'
import { formatIpv4, parseIpv4 } from '../net/ipv4.ts'
import { parseMac } from '../net/mac.ts'
import type { SubnetLease } from '../store/cluster-view.ts'
import type { Endpoint, HeldSubnet, Network } from './journal.ts'
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
  for (const text of known.reserved) take('reserved', text)
  for (const { address } of known.endpoints) {
    take('endpoint', formatIpv4(parseInterfaceAddress(address).ip))
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
  }
}

/** @param bridgeMac what containers hold for the bridge that is there; null when there is none */
export function rebuiltNetwork(
  { id, ipam, name, internal, mtu, egress }: KnownNetwork,
  subnet: string,
  bridgeMac: string | null,
): Network {
  return { id, subnet, ipam, name, internal, mtu, egress, bridgeMac }
}

export function rebuiltEndpoint(
  { id, address, mac }: KnownEndpoint,
  { id: networkId, ipam }: KnownNetwork,
  sandbox: string | null,
  now: number,
): Endpoint {
  const answered = { address: ipam === 'null', mac: false }
  const joined = { sandbox, joinedRoutes: [], joinedAt: now }
  return { id, networkId, address, mac: parseMac(mac), answered, ...joined, ports: [] }
}
