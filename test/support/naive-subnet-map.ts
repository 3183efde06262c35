import type { ForwardingTables, LocalSubnet, RemoteSubnet } from '../../src/datapath/tables.ts'
import { containsIp } from '../../src/net/cidr.ts'
import type { Ipv4 } from '../../src/net/ipv4.ts'

/** The longest prefix that holds the address, by looking at every one. */
export function naiveLookup(
  tables: ForwardingTables,
  ip: Ipv4,
): LocalSubnet | RemoteSubnet | undefined {
  return [...tables.local, ...tables.remote]
    .filter(({ subnet }) => containsIp(subnet, ip))
    .toSorted((a, b) => b.subnet.length - a.subnet.length)[0]
}
