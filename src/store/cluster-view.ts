import type { Cidr } from '../net/cidr.ts'
import type { Cidr6 } from '../net/cidr6.ts'
import type { Ip } from '../net/ip.ts'
import type { Ipv4 } from '../net/ipv4.ts'
import type { Ipv6 } from '../net/ipv6.ts'
import type { Mac } from '../net/mac.ts'
import type { Vni } from '../net/vni.ts'

/**
 * How a subnet came to its host.
 *
 *   pooled   taken from its overlay's pool; containers see the whole pool on-link
 *   routed   taken from the cluster's Network; reached by routes
 *   docker   chosen by Docker's own IPAM and claimed here; may lie outside Network
 */
export type LeaseKind = 'pooled' | 'routed' | 'docker'

/** `<prefix>/config`: the cluster's own settings, flannel's schema. */
export interface ClusterConfig {
  readonly network: Cidr
  readonly subnetLength: number
  readonly subnetMin: Ipv4
  readonly subnetMax: Ipv4
  readonly vni: Vni
  readonly port: number
}

/** The IPv6 half of a lease of both families; its subnet stands in the key. */
export interface Ipv6Half {
  readonly subnet: Cidr6
  /** The overlay's, for pooled leases. */
  readonly pool: Cidr6 | null
}

/** `<prefix>/subnets/10.32.5.0-24` or `…/10.32.5.0-24&fd00:32:0:5::-64`: these subnets are behind that host. */
export interface SubnetLease {
  readonly key: string
  readonly modRevision: string
  readonly subnet: Cidr
  /** Where the host's tunnels end, in the family of the network between the hosts. */
  readonly publicIp: Ip
  readonly vtepMac: Mac
  /** 0 while the overlay's name is not known yet: nothing is forwarded to such a subnet. */
  readonly vni: Vni
  /** null on a foreign flannel host. */
  readonly hostId: string | null
  /** null while unknown, or on a foreign flannel host. */
  readonly overlay: string | null
  readonly kind: LeaseKind
  /** The pool the subnet was cut from, for pooled leases. */
  readonly pool: Cidr | null
  /** null without IPv6 inside, and on a foreign flannel host, whose IPv6 has a tunnel of its own. */
  readonly ipv6: Ipv6Half | null
  /** The overlay MTU that the host offers; null on a foreign flannel host. */
  readonly mtu: number | null
  /** The host's own identity of the network that lives in it; null before there is one, or on a foreign flannel host. */
  readonly networkId: string | null
}

/** `<prefix>/overlays/<name>`. An overlay with a pool is pooled, one without is routed. */
export interface OverlayRecord {
  readonly key: string
  readonly modRevision: string
  readonly name: string
  readonly vni: Vni
  readonly pool: Cidr | null
  readonly subnetLength: number | null
  /** Of a pooled overlay in which somebody asked for IPv6. */
  readonly pool6: Cidr6 | null
}

/** `<prefix>/hosts/<HostID>`: alive, and who it is. */
export interface HostRecord {
  readonly key: string
  readonly modRevision: string
  readonly hostId: string
  readonly hostname: string
  readonly instance: string
  readonly publicIp: Ip
  readonly version: string
  readonly mtu: number
}

/** `<prefix>/endpoints/10.32.5.0-24/10.32.5.2`: a container's attachment, for name services and people. */
export interface EndpointRecord {
  readonly key: string
  readonly modRevision: string
  readonly subnet: Cidr
  readonly ip: Ipv4
  readonly ipv6: Ipv6 | null
  readonly mac: Mac
  readonly endpointId: string
  readonly name: string | null
}

/** A key that was read, found wrong and left out of the view. */
export interface StoreProblem {
  readonly key: string
  /** Where only this part of the key was left out. */
  readonly part?: 'IPv6'
  readonly reason: string
}

/** Everything the store says, parsed; what was wrong is listed in `problems` and nowhere else. */
export interface ClusterView {
  readonly revision: string
  readonly config: ClusterConfig | null
  /** By subnet text, "10.32.5.0/24". */
  readonly subnets: ReadonlyMap<string, SubnetLease>
  /** By overlay name. */
  readonly overlays: ReadonlyMap<string, OverlayRecord>
  /** Subnet text to the HostID that comes back to it. */
  readonly holders: ReadonlyMap<string, string>
  /** By HostID. */
  readonly hosts: ReadonlyMap<string, HostRecord>
  /** HostID to the prefixes of that host's private bridges. */
  readonly privatePrefixes: ReadonlyMap<string, readonly Cidr[]>
  readonly endpoints: readonly EndpointRecord[]
  /** Revision of the allocator key, or null before the first allocation. */
  readonly allocatorRevision: string | null
  readonly problems: readonly StoreProblem[]
}
