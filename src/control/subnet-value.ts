import { parseCidr } from '../net/cidr.ts'
import { parseCidr6 } from '../net/cidr6.ts'
import type { Ip } from '../net/ip.ts'
import type { Mac } from '../net/mac.ts'
import type { Ipv6Half } from '../store/cluster-view.ts'
import type { SubnetValue } from '../store/records.ts'
import type { HeldSubnet, HeldSubnet6 } from './journal.ts'

/** What a host writes of itself into its leases, and the etcd lease that they hang on. */
export interface Publisher {
  readonly hostId: string
  readonly publicIp: Ip
  readonly vtepMac: Mac
  readonly mtu: number
  readonly storeLease: string
}

/** What of a held subnet stands in its lease. */
export type LeasedSubnet = Pick<
  HeldSubnet,
  'subnet' | 'kind' | 'pool' | 'overlay' | 'vni' | 'networkId'
> & {
  readonly ipv6: Pick<HeldSubnet6, 'subnet' | 'pool'> | null
}

/** The lease record of a subnet that this host holds. */
export function subnetValue(held: Omit<LeasedSubnet, 'subnet'>, by: Publisher): SubnetValue {
  return {
    publicIp: by.publicIp,
    vtepMac: by.vtepMac,
    vni: held.vni,
    hostId: by.hostId,
    overlay: held.overlay,
    kind: held.kind,
    pool: held.pool === null ? null : parseCidr(held.pool),
    ipv6: halfOf(held),
    mtu: by.mtu,
    networkId: held.networkId,
  }
}

/** The IPv6 half of a held subnet as a lease has it. */
export function halfOf({ ipv6 }: Pick<LeasedSubnet, 'ipv6'>): Ipv6Half | null {
  if (ipv6 === null) return null
  return {
    subnet: parseCidr6(ipv6.subnet),
    pool: ipv6.pool === null ? null : parseCidr6(ipv6.pool),
  }
}
