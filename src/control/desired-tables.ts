import type { ForwardingTables } from '../datapath/tables.ts'
import { parseCidr } from '../net/cidr.ts'
import type { Mac } from '../net/mac.ts'
import type { ClusterView } from '../store/cluster-view.ts'
import { remoteLeases, type Member } from './members.ts'

/**
 * What the forwarder should know: this host's subnets, and every subnet of other hosts in the
 * overlays this host is in. The identifier of an overlay is its record's; a lease that says another
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
  return {
    vtepMac,
    local: joined.map(({ held }) => ({ subnet: parseCidr(held.subnet), vni: held.vni })),
    remote: [...overlays].flatMap(([overlay, vni]) =>
      remoteLeases(view, hostId, overlay)
        .filter((lease) => lease.vni === vni)
        .map(({ subnet, publicIp, vtepMac, mtu }) => ({
          subnet,
          vni,
          publicIp,
          vtepMac,
          mtu: Math.min(mtu ?? overlayMtu, overlayMtu),
        })),
    ),
  }
}
