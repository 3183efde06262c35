import { existsSync } from 'node:fs'
import { join } from 'node:path'
import type { HostPaths } from '../linux/host-paths.ts'
import { observeUnderlay, privateBridgePrefixes } from '../linux/underlay.ts'
import type { Cidr } from '../net/cidr.ts'
import { parseCidr } from '../net/cidr.ts'
import { parseCidr6 } from '../net/cidr6.ts'
import { familyOf, type Ip } from '../net/ip.ts'
import type { Ipv4 } from '../net/ipv4.ts'
import { formatIp } from '../net/ipv6.ts'
import { overlayMtu } from '../net/mtu.ts'
import type { ClusterView } from '../store/cluster-view.ts'
import type { Hazards } from '../store/hazards.ts'
import type { HeldSubnet } from './journal.ts'

/** What the control plane needs to know of the machine it runs on. */
export interface HostFacts {
  readonly iface: string
  /** The links out of this host: that one, and those of its default routes. */
  readonly uplinks: readonly string[]
  /** The underlay interface's own address: what the sockets bind to. Its family is that of all tunnels. */
  readonly ip: Ip
  /** What other hosts are told: HOST_IP, or the same. */
  readonly publicIp: Ip
  readonly overlayMtu: number
  /** Whether the kernel has IPv6. */
  readonly hasIpv6: boolean
  readonly nameservers: readonly Ipv4[]
  /** Of docker0, docker_gwbridge and br-*: other hosts' Docker must not choose them. */
  readonly privatePrefixes: readonly Cidr[]
  /** What no lease of another host may cover. */
  readonly hazards: Hazards
}

export interface HostFactsOptions {
  readonly iface: string | null
  readonly hostIp: Ip | null
  /** Addresses of the etcd endpoints, as far as they are given by number. */
  readonly etcdAddresses: readonly Ip[]
  readonly paths: HostPaths
}

/** Looks at the machine. @throws OverlayError host_state in a sentence that names the setting to change */
export async function observeHostFacts(options: HostFactsOptions): Promise<HostFacts> {
  const underlay = await observeUnderlay({
    ...(options.iface !== null && { iface: options.iface }),
    ...(options.hostIp !== null && { hostIp: options.hostIp }),
    paths: options.paths,
  })
  const { ipv6 } = underlay
  const named = (ips: readonly Ip[], what: string): Hazards['addresses'] =>
    ips.map((ip) => ({ ip, what }))
  return {
    iface: underlay.iface,
    uplinks: underlay.uplinks,
    ip: underlay.ip,
    publicIp: underlay.publicIp,
    overlayMtu: overlayMtu(underlay.mtu, familyOf(underlay.ip)),
    hasIpv6: existsSync(join(options.paths.procSys, 'net', 'ipv6')),
    nameservers: underlay.nameservers,
    privatePrefixes: privateBridgePrefixes(underlay),
    hazards: {
      addresses: [
        ...named([underlay.ip, underlay.publicIp, ...ipv6.addresses], "this host's own address"),
        ...named([...underlay.defaultGateways, ...ipv6.defaultGateways], 'the default gateway'),
        ...named([...underlay.nameservers, ...ipv6.nameservers], 'the nameserver'),
        ...named(options.etcdAddresses, 'the etcd endpoint'),
      ],
      onLink: underlay.onLinkPrefixes.map(({ prefix, dev }) => ({ prefix, dev: dev ?? 'nowhere' })),
    },
  }
}

/** The machine's own hazards, with its subnets and with the tunnel ends of all hosts of the map. */
export function allHazards(
  facts: HostFacts,
  view: ClusterView,
  held: readonly HeldSubnet[],
): Hazards {
  const vteps = new Set([...view.hosts.values(), ...view.subnets.values()].map((h) => h.publicIp))
  return {
    addresses: [
      ...facts.hazards.addresses,
      ...[...vteps].map((ip) => ({ ip, what: `the tunnel end of host ${formatIp(ip)},` })),
      ...held.flatMap(({ ipv6 }) =>
        ipv6 === null
          ? []
          : [{ ip: parseCidr6(ipv6.subnet).address, what: "this host's own IPv6 subnet" }],
      ),
    ],
    onLink: [
      ...facts.hazards.onLink,
      ...held.map(({ subnet }) => ({ prefix: parseCidr(subnet), dev: "this host's own network" })),
    ],
  }
}
