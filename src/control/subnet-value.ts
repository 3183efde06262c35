import { parseCidr } from '../net/cidr.ts'
import type { Ip } from '../net/ip.ts'
import type { Mac } from '../net/mac.ts'
import type { SubnetValue } from '../store/records.ts'
import type { HeldSubnet } from './journal.ts'

/** What a host writes of itself into its leases, and the etcd lease that they hang on. */
export interface Publisher {
  readonly hostId: string
  readonly publicIp: Ip
  readonly vtepMac: Mac
  readonly mtu: number
  readonly storeLease: string
}

/** The lease record of a subnet that this host holds. */
export function subnetValue(
  held: Pick<HeldSubnet, 'kind' | 'pool' | 'overlay' | 'vni' | 'networkId'>,
  by: Publisher,
): SubnetValue {
  return {
    publicIp: by.publicIp,
    vtepMac: by.vtepMac,
    vni: held.vni,
    hostId: by.hostId,
    overlay: held.overlay,
    kind: held.kind,
    pool: held.pool === null ? null : parseCidr(held.pool),
    mtu: by.mtu,
    networkId: held.networkId,
  }
}
