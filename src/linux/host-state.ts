import type { IpFamily } from '../net/ip.ts'
import type { Mac } from '../net/mac.ts'

/** Every link of ours begins so, and a link that begins so is ours. */
export const LINK_PREFIX = 'ov-'

/** The one TUN device of a host. */
export const TUN_NAME = 'ov-tun'

/** Our number in the protocol field of routes (rtnetlink(7) rtm_protocol): what carries it is ours. */
export const ROUTE_PROTOCOL = 79

/** The one nftables table that we own (family inet). */
export const NFT_TABLE = 'overlay-ts'

/** "ov-b" and ten hex digits of the network's id: 14 of the 15 characters a link name may have. */
export const bridgeName = (networkId: string): string => `${LINK_PREFIX}b${networkId.slice(0, 10)}`
/** Host side of an endpoint's veth pair. */
export const hostVethName = (endpointId: string): string =>
  `${LINK_PREFIX}h${endpointId.slice(0, 10)}`
/** Container side of the pair, before libnetwork moves and renames it. */
export const containerVethName = (endpointId: string): string =>
  `${LINK_PREFIX}c${endpointId.slice(0, 10)}`

/** The family of an address or prefix of a state, where they stand as text. */
export const familyOfText = (text: string): IpFamily => (text.includes(':') ? 'ipv6' : 'ipv4')

/** Whether one of the addresses is of IPv6. */
export const hasIpv6 = (addresses: readonly string[]): boolean =>
  addresses.some((address) => familyOfText(address) === 'ipv6')

export interface Bridge {
  readonly name: string
  readonly mac: Mac
  readonly mtu: number
  /** "10.32.5.1/24" and "fd00:32:0:5::1/64"; usually one of a family. */
  readonly addresses: readonly string[]
  /** Answer ARP for remote addresses of a pooled overlay (proxy_arp with proxy_delay 0). */
  readonly proxyArp: boolean
}

export interface Tun {
  readonly name: string
  readonly mtu: number
  /** txqueuelen: the TUN has no back-pressure, this is all that absorbs a burst. */
  readonly queueLength: number
  /** Queueing discipline at its root (tc(8)), where the kernel has it. */
  readonly qdisc: string
  /** "10.32.5.0/32" and "fd00:32:0:5::/128", one for each leased subnet. */
  readonly addresses: readonly string[]
}

/** The host side of an endpoint; its creation is imperative, its membership in the bridge is kept true. */
export interface BridgePort {
  readonly name: string
  readonly bridge: string
  readonly mtu: number
  /**
   * Lets a frame out by the port that it came in by: where bridged frames are translated
   * (bridge-nf-call-iptables=1), a container reaches itself at its published port only so.
   */
  readonly hairpin: boolean
}

export interface Route {
  readonly type: 'unicast' | 'blackhole' | 'unreachable'
  /** "10.33.0.0/17", "fd00:33::/48"; the family of `src` and `via` is the same. */
  readonly to: string
  readonly dev?: string
  readonly via?: string
  readonly src?: string
  readonly scope?: 'global' | 'link'
  readonly metric?: number
  /** Where the way is narrower than the device, in bytes: the kernel answers and cuts by it. */
  readonly mtu?: number
}

/** A forwarding allowed by the isolation table: from one link to another, both prefixes, of one family, matched. */
export interface AllowedFlow {
  readonly fromLink: string
  readonly toLink: string
  readonly fromPrefix: string
  readonly toPrefix: string
}

/** A port of a container that is to be reached at a port of this host. */
export interface PublishedPort {
  readonly protocol: 'tcp' | 'udp' | 'sctp'
  /** "172.18.10.96"; null for all addresses of this host, the loopback ones too. */
  readonly hostIp: string | null
  readonly hostPort: number
  /** The container's own address, "10.33.5.2". */
  readonly address: string
  readonly port: number
}

/** A bridge through which its containers leave this host, and by which the world comes to their ports. */
export interface WayOut {
  readonly bridge: string
  /** Where its containers are: "10.33.5.0/24". */
  readonly subnet: string
  /** The links that lead out of this host. */
  readonly uplinks: readonly string[]
  /** Nothing goes out to this UDP port: behind this host's address it would pass for its tunnel. */
  readonly tunnelPort: number
  readonly published: readonly PublishedPort[]
}

/** Where the tunnels of other hosts end. */
export interface TunnelEnds {
  /** "172.18.10.98", "fd00:18::98"; each once. */
  readonly addresses: readonly string[]
  readonly port: number
  /** The links that lead to them. */
  readonly uplinks: readonly string[]
}

/**
 * The whole of what this product wants of a host's network stack. Applying it twice changes nothing;
 * applying the empty state removes every trace.
 */
export interface HostState {
  readonly tun: Tun | null
  readonly bridges: readonly Bridge[]
  readonly ports: readonly BridgePort[]
  /** In the main table, all with ROUTE_PROTOCOL. */
  readonly routes: readonly Route[]
  /**
   * sysctl path under /proc/sys ("net/ipv4/ip_forward") to value; written, never restored. Before
   * forwarding of IPv6 is switched on, links that hear routers are told to go on hearing them.
   */
  readonly sysctls: ReadonlyMap<string, string>
  readonly allowed: readonly AllowedFlow[]
  readonly waysOut: readonly WayOut[]
  /** null where nothing is known of other hosts. */
  readonly tunnelEnds: TunnelEnds | null
  /**
   * Links of ours that nothing above wants and that stay all the same, since whose they are is still to
   * be found out. While there is one, no route, address or rule is taken away either.
   */
  readonly spared: readonly string[]
}

export const EMPTY_HOST_STATE: HostState = {
  tun: null,
  bridges: [],
  ports: [],
  routes: [],
  sysctls: new Map(),
  allowed: [],
  waysOut: [],
  tunnelEnds: null,
  spared: [],
}
