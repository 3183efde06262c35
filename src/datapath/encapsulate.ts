import { ETHERNET_LENGTH, etherTypeOfIp, writeEthernet } from '../packet/ethernet.ts'
import { VXLAN_LENGTH, writeVxlan } from '../packet/vxlan.ts'
import type { SubnetMap } from './subnet-map.ts'

/** What stands between the outer UDP header and the inner IP packet. */
export const ENCAPSULATION = VXLAN_LENGTH + ETHERNET_LENGTH

/**
 * Writes the VXLAN and inner Ethernet headers for a remote subnet into the 22 bytes at `at`.
 * @param version of the IP packet that follows, 4 or 6
 */
export function encapsulate(
  bytes: Uint8Array,
  at: number,
  map: SubnetMap,
  entry: number,
  version: number,
): void {
  writeVxlan(bytes, at, map.vni(entry))
  writeEthernet(
    bytes,
    at + VXLAN_LENGTH,
    map.bytes,
    map.macAt(entry),
    map.bytes,
    map.ownMacAt,
    etherTypeOfIp(version),
  )
}
