import {
  bridgeName,
  EMPTY_HOST_STATE,
  hostVethName,
  TUN_NAME,
  type AllowedFlow,
  type Bridge,
  type HostState,
  type Route,
} from '../linux/host-state.ts'
import { containsIp, formatCidr, parseCidr, type Cidr } from '../net/cidr.ts'
import { formatIpv4, parseIpv4 } from '../net/ipv4.ts'
import { derivedMac } from '../net/mac.ts'
import type { ClusterView } from '../store/cluster-view.ts'
import { isSibling, remoteLeases, remotePrefixes, type Member } from './members.ts'
import { waysOut, type Outside } from './ways-out.ts'

/** What swallows a packet when the route that should carry it is gone; loses to every other route. */
const LAST_RESORT_METRIC = 4_278_198_272

/** The very last metric: seen by Docker's IPAM, never preferred by the kernel. */
const STEERING_METRIC = 4_294_967_294

/**
 * Room for a burst while a worker is busy: the TUN drops what does not fit. Twice the kernel's 500, and
 * no more, since under overload it is always full and every packet waits behind all of it: 1000 small
 * packets are 5 ms of a worker's time.
 */
export const TUN_QUEUE_LENGTH = 1000

/** Shares the queue between flows and keeps it short, where the kernel lets packets wait there. */
const TUN_QDISC = 'fq_codel'

export interface HostStateInput {
  readonly hostId: string
  readonly members: readonly Member[]
  readonly view: ClusterView
  /** Of the underlay less the encapsulation, in bytes. */
  readonly overlayMtu: number
  /** Prefixes that Docker's IPAM on this host shall not choose. */
  readonly steering: readonly Cidr[]
  readonly outside: Outside
  /** Links of ours that the journal does not claim and that may yet turn out to be a network's. */
  readonly spared?: readonly string[]
}

/**
 * Everything this host's network stack should be, from the journal and the map. A host without
 * networks still steers its Docker, so that its first plain network gets a subnet of its own.
 */
export function desiredHostState(input: HostStateInput): HostState {
  const { members, overlayMtu, spared = [] } = input
  const steering = input.steering.map(steeringRoute)
  if (members.length === 0) return { ...EMPTY_HOST_STATE, routes: steering, spared }
  const inOverlay = members.filter((member) => member.held.vni !== 0)
  return {
    tun: {
      name: TUN_NAME,
      mtu: overlayMtu,
      queueLength: TUN_QUEUE_LENGTH,
      qdisc: TUN_QDISC,
      addresses: inOverlay.map((member) => `${ownAddress(member)}/32`),
    },
    bridges: members.map((member) => bridgeOf(member, input)),
    ports: members.flatMap((member) =>
      member.endpoints.map((endpoint) => ({
        name: hostVethName(endpoint.id),
        bridge: bridgeName(member.network.id),
        mtu: mtuOf(member, overlayMtu),
        hairpin: endpoint.ports.length > 0,
      })),
    ),
    routes: [...overlayRoutes(inOverlay, input), ...anycastRoutes(members), ...steering],
    sysctls: new Map([['net/ipv4/ip_forward', '1']]),
    allowed: members.flatMap((member) => allowedFlows(member, input)),
    waysOut: waysOut(members, input.outside),
    spared,
  }
}

/** The MTU inside a network: as asked, never more than the path carries. */
export function mtuOf(member: Pick<Member, 'network'>, overlayMtu: number): number {
  return Math.min(member.network.mtu ?? overlayMtu, overlayMtu)
}

/** The `.0` of the subnet: what this host itself is called in the overlay, as on a flannel host. */
const ownAddress = (member: Member): string => formatIpv4(parseCidr(member.held.subnet).base)

const gatewayIsInside = ({ held }: Member): boolean =>
  containsIp(parseCidr(held.subnet), parseIpv4(held.gateway))

function bridgeOf(member: Member, { hostId, overlayMtu }: HostStateInput): Bridge {
  const { network, held } = member
  const length = gatewayIsInside(member) ? parseCidr(held.subnet).length : 32
  return {
    name: bridgeName(network.id),
    mac: network.bridgeMac ?? derivedMac('bridge', hostId, network.id),
    mtu: mtuOf(member, overlayMtu),
    addresses: [`${held.gateway}/${length}`],
    proxyArp: held.kind === 'pooled',
  }
}

/** A gateway outside the subnet brings no route to the subnet with it. */
function anycastRoutes(members: readonly Member[]): Route[] {
  return members
    .filter((member) => !gatewayIsInside(member))
    .map(({ network, held }) => ({
      type: 'unicast',
      to: held.subnet,
      dev: bridgeName(network.id),
      scope: 'link',
    }))
}

/**
 * Into the TUN, scope global so that Docker's overlap test passes over them; below each a blackhole,
 * so that nothing leaves by the default route while there is no TUN. Networks of one overlay share
 * their routes, under the source address of the first.
 */
function overlayRoutes(members: readonly Member[], input: HostStateInput): Route[] {
  const { view, hostId } = input
  const source = new Map<string, string>()
  for (const member of members) {
    for (const prefix of remotePrefixes(member, view, hostId)) {
      const to = formatCidr(prefix)
      if (!source.has(to)) source.set(to, ownAddress(member))
    }
  }
  const narrow = narrowRoutes(members, input)
  const isNarrow = (to: string): boolean => narrow.some((route) => route.to === to)
  return [
    ...[...source].flatMap(([to, src]): Route[] => [
      ...(isNarrow(to) ? [] : [intoTun(to, src)]),
      { type: 'blackhole', to, metric: LAST_RESORT_METRIC },
    ]),
    ...narrow,
  ]
}

const intoTun = (to: string, src: string): Route => ({
  type: 'unicast',
  to,
  dev: TUN_NAME,
  src,
  scope: 'global',
})

/**
 * To each subnet whose host takes less than this one can send, a route of its own with that MTU: the
 * kernel then answers a packet that is too big and may not be cut ("fragmentation needed"), and cuts
 * the others (Linux 5.10 or newer heeds a route's MTU in forwarding).
 */
function narrowRoutes(
  members: readonly Member[],
  { view, hostId, overlayMtu }: HostStateInput,
): Route[] {
  const routes = members.flatMap((member) =>
    remoteLeases(view, hostId, member.held.overlay ?? '').flatMap(({ subnet, mtu }): Route[] => {
      const to = formatCidr(subnet)
      return mtu !== null && mtu < overlayMtu ? [{ ...intoTun(to, ownAddress(member)), mtu }] : []
    }),
  )
  return routes.filter(({ to }, at) => routes.findIndex((other) => other.to === to) === at)
}

const steeringRoute = (prefix: Cidr): Route => ({
  type: 'unreachable',
  to: formatCidr(prefix),
  scope: 'link',
  metric: STEERING_METRIC,
})

/** Inside the bridge anything; between it and the rest of its overlay only the overlay's own addresses. */
function allowedFlows(member: Member, input: HostStateInput): AllowedFlow[] {
  const { members, view, hostId } = input
  const own = member.held.subnet
  const link = bridgeName(member.network.id)
  const inside = {
    fromLink: link,
    toLink: link,
    fromPrefix: '0.0.0.0/0',
    toPrefix: '0.0.0.0/0',
  }
  const remote = remotePrefixes(member, view, hostId).flatMap((prefix) => {
    const other = formatCidr(prefix)
    return [
      { fromLink: link, toLink: TUN_NAME, fromPrefix: own, toPrefix: other },
      { fromLink: TUN_NAME, toLink: link, fromPrefix: other, toPrefix: own },
    ]
  })
  const siblings = members
    .filter((sibling) => isSibling(sibling, member))
    .map((sibling) => ({
      fromLink: link,
      toLink: bridgeName(sibling.network.id),
      fromPrefix: own,
      toPrefix: sibling.held.subnet,
    }))
  return [inside, ...remote, ...siblings]
}
