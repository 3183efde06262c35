import {
  bridgeName,
  EMPTY_HOST_STATE,
  hostVethName,
  TUN_NAME,
  type AllowedFlow,
  type Bridge,
  type HostState,
  type Route,
  type TunnelEnds,
} from '../linux/host-state.ts'
import { containsIp, formatCidr, parseCidr, type Cidr } from '../net/cidr.ts'
import { parseCidr6 } from '../net/cidr6.ts'
import { parseIpv4 } from '../net/ipv4.ts'
import { formatIp } from '../net/ipv6.ts'
import { derivedMac } from '../net/mac.ts'
import type { ClusterView } from '../store/cluster-view.ts'
import type { HeldSubnet } from './journal.ts'
import type { Member } from './members.ts'
import { siblingSubnets, sidesOf, type Side } from './sides.ts'
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
      addresses: inOverlay.flatMap((member) => sidesIn(member, input).map(ownPrefix)),
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
    sysctls: forwarding(members),
    allowed: members.flatMap((member) => allowedFlows(member, input)),
    waysOut: waysOut(members, input.outside),
    tunnelEnds: tunnelEnds(input),
    spared,
  }
}

function tunnelEnds({ view, hostId, outside }: HostStateInput): TunnelEnds {
  const others = [...view.hosts.values(), ...view.subnets.values()].filter(
    (other) => other.hostId !== hostId,
  )
  return {
    addresses: [...new Set(others.map(({ publicIp }) => formatIp(publicIp)))].sort(),
    port: outside.tunnelPort,
    uplinks: outside.uplinks,
  }
}

/** The MTU inside a network: as asked, never more than the path carries. */
export function mtuOf(member: Pick<Member, 'network'>, overlayMtu: number): number {
  return Math.min(member.network.mtu ?? overlayMtu, overlayMtu)
}

const sidesIn = (member: Member, { view, hostId }: HostStateInput): Side[] =>
  sidesOf(member, view, hostId)

const ownPrefix = ({ family, own }: Side): string => `${own}/${family === 'ipv4' ? 32 : 128}`

/** A host that no network needs IPv6 on goes on as it was: forwarding it changes how a host is configured. */
function forwarding(members: readonly Member[]): ReadonlyMap<string, string> {
  const ipv4 = ['net/ipv4/ip_forward', '1'] as const
  const ipv6 = ['net/ipv6/conf/all/forwarding', '1'] as const
  return new Map(members.some(({ held }) => held.ipv6 !== null) ? [ipv4, ipv6] : [ipv4])
}

const gatewayIsInside = ({ held }: Member): boolean =>
  containsIp(parseCidr(held.subnet), parseIpv4(held.gateway))

function bridgeOf(member: Member, { hostId, overlayMtu }: HostStateInput): Bridge {
  const { network, held } = member
  const length = gatewayIsInside(member) ? parseCidr(held.subnet).length : 32
  return {
    name: bridgeName(network.id),
    mac: network.bridgeMac ?? derivedMac('bridge', hostId, network.id),
    mtu: mtuOf(member, overlayMtu),
    addresses: [`${held.gateway}/${length}`, ...gateway6Of(held)],
    proxyArp: held.kind === 'pooled',
  }
}

const gateway6Of = ({ ipv6 }: HeldSubnet): string[] =>
  ipv6 === null ? [] : [`${ipv6.gateway}/${parseCidr6(ipv6.subnet).length}`]

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
 * their routes, under the source address of the first that has the family.
 */
function overlayRoutes(members: readonly Member[], input: HostStateInput): Route[] {
  const sides = members.flatMap((member) => sidesIn(member, input))
  const source = new Map<string, Side>()
  for (const side of sides) {
    for (const to of side.remote) if (!source.has(to)) source.set(to, side)
  }
  const narrow = narrowRoutes(sides, input)
  const isNarrow = (to: string): boolean => narrow.some((route) => route.to === to)
  return [
    ...[...source].flatMap(([to, side]): Route[] => [
      ...(isNarrow(to) ? [] : [intoTun(to, side)]),
      { type: 'blackhole', to, metric: LAST_RESORT_METRIC },
    ]),
    ...narrow,
  ]
}

/** IPv6 has no scopes of routes. */
const intoTun = (to: string, { family, own }: Side): Route => ({
  type: 'unicast',
  to,
  dev: TUN_NAME,
  src: own,
  ...(family === 'ipv4' && { scope: 'global' as const }),
})

/**
 * To each subnet whose host takes less than this one can send, a route of its own with that MTU: the
 * kernel then answers a packet that is too big and may not be cut ("fragmentation needed"), and cuts
 * the others (Linux 5.10 or newer heeds a route's MTU in forwarding).
 */
function narrowRoutes(sides: readonly Side[], { overlayMtu }: HostStateInput): Route[] {
  const routes = sides.flatMap((side) =>
    side.peers.flatMap(({ subnet, mtu }): Route[] =>
      mtu !== null && mtu < overlayMtu ? [{ ...intoTun(subnet, side), mtu }] : [],
    ),
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
  const link = bridgeName(member.network.id)
  const inside = {
    fromLink: link,
    toLink: link,
    fromPrefix: '0.0.0.0/0',
    toPrefix: '0.0.0.0/0',
  }
  const between = sidesIn(member, input).flatMap((side) => {
    const own = side.subnet
    const remote = side.remote.flatMap((other) => [
      { fromLink: link, toLink: TUN_NAME, fromPrefix: own, toPrefix: other },
      { fromLink: TUN_NAME, toLink: link, fromPrefix: other, toPrefix: own },
    ])
    const siblings = siblingSubnets(member, input.members, side.family).map(
      ({ networkId, subnet }) => ({
        fromLink: link,
        toLink: bridgeName(networkId),
        fromPrefix: own,
        toPrefix: subnet,
      }),
    )
    return [...remote, ...siblings]
  })
  return [inside, ...between]
}
