import type { HostFacts } from '../../../src/control/host-facts.ts'
import { parseCidr } from '../../../src/net/cidr.ts'
import { isIpv4, type Ip } from '../../../src/net/ip.ts'
import { parseIpv4 } from '../../../src/net/ipv4.ts'

/** A machine at 172.18.10.96/24 whose network is in nobody's way. */
export const FACTS: HostFacts = factsOf(parseIpv4('172.18.10.96'))

export function factsOf(ip: Ip): HostFacts {
  return {
    iface: 'eth0',
    uplinks: ['eth0'],
    ip,
    publicIp: ip,
    overlayMtu: 1450,
    hasIpv6: true,
    nameservers: [],
    privatePrefixes: [],
    hazards: {
      addresses: isIpv4(ip) ? [{ ip, what: "this host's own address" }] : [],
      onLink: [{ prefix: parseCidr('172.18.10.0/24'), dev: 'eth0' }],
    },
  }
}
