import type { ForwardingTables } from '../datapath/tables.ts'
import { parseCidr } from '../net/cidr.ts'
import { parseCidr6 } from '../net/cidr6.ts'
import type { Mac } from '../net/mac.ts'
import type { ClusterView } from '../store/cluster-view.ts'
import { remoteLeases, type Member } from './members.ts'

/**
 * What the forwarder should know: this host's subnets, and every subnet of other hosts in the
 * overlays this host is in, IPv6 where this host has it too. The identifier of an overlay is its record's; a lease that says another
 * is not in it.
 */
export function desiredTables(
  members: readonly Member[],
  view: ClusterView,
  hostId: string,
  vtepMac: Mac,
  overlayMtu: number,
): ForwardingTables {
  const joined = members.filter((member) => member.held.vni !== 0)
  const overlays = new Map(joined.map(({ held }) => [held.overlay!, held.vni]))
  const withIpv6 = new Set(joined.flatMap(({ held }) => (held.ipv6 ? [held.vni] : [])))
  return {
    vtepMac,
    local: joined.flatMap(({ held: { subnet, ipv6, vni } }) => [
      { subnet: parseCidr(subnet), vni },
      ...(ipv6 ? [{ subnet: parseCidr6(ipv6.subnet), vni }] : []),
    ]),
    remote: [...overlays].flatMap(([overlay, vni]) =>
      remoteLeases(view, hostId, overlay)
        .filter((lease) => lease.vni === vni)
        .flatMap(({ subnet, ipv6, publicIp, vtepMac, mtu }) => {
          const to = { vni, publicIp, vtepMac, mtu: Math.min(mtu ?? overlayMtu, overlayMtu) }
          const half = withIpv6.has(vni) ? ipv6 : null
          return [{ subnet, ...to }, ...(half ? [{ subnet: half.subnet, ...to }] : [])]
        }),
    ),
  }
}
