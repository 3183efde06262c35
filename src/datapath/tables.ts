import type { Cidr } from '../net/cidr.ts'
import type { Cidr6 } from '../net/cidr6.ts'
import type { Ipv4 } from '../net/ipv4.ts'
import type { Ipv6 } from '../net/ipv6.ts'
import type { Mac } from '../net/mac.ts'
import type { Vni } from '../net/vni.ts'

/** A subnet of this host. */
export interface LocalSubnet {
  readonly subnet: Cidr | Cidr6
  readonly vni: Vni
}

/** A subnet behind another host. */
export interface RemoteSubnet {
  readonly subnet: Cidr | Cidr6
  readonly vni: Vni
  /** Outer destination of what we send, and the only outer source we accept for it. */
  readonly publicIp: Ipv4 | Ipv6
  /** Inner destination MAC of what we send, and the only inner source MAC we accept. */
  readonly vtepMac: Mac
  /** Overlay MTU of the path: the smaller of both ends. */
  readonly mtu: number
}

/**
 * Everything the forwarder knows. The overlay of a subnet is its VNI: a packet passes only between
 * subnets of one VNI. Subnets are disjoint; lookups are by longest prefix, exact to the last bit.
 */
export interface ForwardingTables {
  readonly vtepMac: Mac
  readonly local: readonly LocalSubnet[]
  readonly remote: readonly RemoteSubnet[]
}
