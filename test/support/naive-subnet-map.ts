import type { ForwardingTables, LocalSubnet, RemoteSubnet } from '../../src/datapath/tables.ts'
import { containsIp } from '../../src/net/cidr.ts'
import { containsIp6, isCidr6 } from '../../src/net/cidr6.ts'
import type { Ipv4 } from '../../src/net/ipv4.ts'
import type { Ipv6 } from '../../src/net/ipv6.ts'

/** The longest prefix that holds the address, by looking at every one. */
export function naiveLookup(
  tables: ForwardingTables,
  ip: Ipv4 | Ipv6,
): LocalSubnet | RemoteSubnet | undefined {
  return [...tables.local, ...tables.remote]
    .filter(({ subnet }) => {
      if (isCidr6(subnet)) return typeof ip === 'bigint' && containsIp6(subnet, ip)
      return typeof ip === 'number' && containsIp(subnet, ip)
    })
    .toSorted((a, b) => b.subnet.length - a.subnet.length)[0]
}
