import { FAMILY_NAME, familyOf, type Ip } from '../net/ip.ts'
import { formatIp } from '../net/ipv6.ts'
import type { ClusterView, StoreProblem, SubnetLease } from '../store/cluster-view.ts'
import { hostName } from './taken.ts'

/**
 * The view without leases of hosts whose tunnels end at an address of the other family, each named as
 * a problem: this host's sockets are of one family, so nothing could be sent there.
 */
export function withoutOtherFamily(view: ClusterView, publicIp: Ip, hostId: string): ClusterView {
  const mine = familyOf(publicIp)
  const problems: StoreProblem[] = []
  const subnets = new Map<string, SubnetLease>()
  for (const [text, lease] of view.subnets) {
    const theirs = familyOf(lease.publicIp)
    if (theirs === mine || lease.hostId === hostId) {
      subnets.set(text, lease)
      continue
    }
    const [here, there] = [formatIp(publicIp), formatIp(lease.publicIp)]
    problems.push({
      key: lease.key,
      reason:
        `is on host ${hostName(view, lease.hostId ?? '')}, whose tunnels end at ${there} (${FAMILY_NAME[theirs]}) ` +
        `and this host's at ${here} (${FAMILY_NAME[mine]}): set HOST_IP on one of them so that both are of one family`,
    })
  }
  return problems.length === 0
    ? view
    : { ...view, subnets, problems: [...view.problems, ...problems] }
}
