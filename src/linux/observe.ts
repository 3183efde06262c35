import { z } from 'zod'
import type { IpFamily } from '../net/ip.ts'
import { observeForwardRules, type ForwardRules } from './docker-user.ts'
import { LINK_PREFIX, ROUTE_PROTOCOL } from './host-state.ts'
import { ipLink, ipQuery, ipRoute, type IpLink, type IpRoute } from './ip.ts'
import { couldHear } from './ipv6-forwarding.ts'
import { observeIsolation, type IsolationTable } from './isolation.ts'
import { observedRoute, withLength, type FullRoute } from './routes.ts'

/** A link of ours as the kernel has it. */
export interface ObservedLink {
  readonly name: string
  /** "bridge", "tun", "veth". */
  readonly kind: string
  /** Of a kind and with the fixed options that this product gives it. */
  readonly usable: boolean
  readonly mac: string
  readonly mtu: number
  readonly queueLength: number
  /** Queueing discipline at the root: "mq", "fq_codel", "noqueue". */
  readonly qdisc: string
  readonly up: boolean
  readonly master: string | null
  /** Of a port of a bridge. */
  readonly hairpin: boolean
  /** "10.32.5.1/24"; without link-local ones. */
  readonly addresses: readonly string[]
  /** A bridge without spanning tree and forward delay. */
  readonly plainBridge: boolean
}

/** What of the host's network stack is ours. */
export interface ObservedState {
  readonly links: ReadonlyMap<string, ObservedLink>
  readonly routes: readonly FullRoute[]
  /** Routes that the kernel itself made for addresses of our links: "10.32.5.0/24 dev ov-b…". */
  readonly onLink: ReadonlySet<string>
  readonly isolation: IsolationTable | null
  /** null for a family when iptables filters nothing of it here, or was not asked. */
  readonly forward: Readonly<Record<IpFamily, ForwardRules | null>>
  /** Links of others that may hear router advertisements. */
  readonly listeners: readonly string[]
}

/**
 * Reads everything of ours with three starts of a program, but for the rules of ip6tables, which
 * observeForwardRules() reads where there can be some of ours.
 * @throws OverlayError host_state
 */
export async function observeHost(): Promise<ObservedState> {
  const [[links = [], ours = [], kernel = []], isolation, ipv4] = await Promise.all([
    ipQuery([
      'address show',
      // Asked for one table alone, it would tell of one family alone.
      `route show table all proto ${ROUTE_PROTOCOL}`,
      'route show table all proto kernel',
    ]),
    observeIsolation(),
    observeForwardRules('ipv4'),
  ])
  const all = z.array(ipLink).parse(links)
  const observed = all.filter(isOurs).map(observedLink)
  return {
    links: new Map(observed.map((link) => [link.name, link])),
    routes: mainTable(ours).map(observedRoute),
    onLink: new Set(
      mainTable(kernel)
        .filter(({ dev }) => dev?.startsWith(LINK_PREFIX))
        .map(({ dst, dev }) => `${withLength(dst)} dev ${dev}`),
    ),
    isolation,
    forward: { ipv4, ipv6: null },
    listeners: all.filter((link) => !isOurs(link) && couldHear(link)).map(({ ifname }) => ifname),
  }
}

const mainTable = (routes: readonly unknown[]): IpRoute[] =>
  z
    .array(ipRoute)
    .parse(routes)
    .filter(({ table }) => table === 'main')

const isOurs = ({ ifname }: IpLink): boolean => ifname.startsWith(LINK_PREFIX)

function observedLink(link: IpLink): ObservedLink {
  const kind = link.linkinfo?.info_kind ?? ''
  const data = link.linkinfo?.info_data ?? {}
  return {
    name: link.ifname,
    kind,
    usable: kind !== 'tun' || isUsableTun(data),
    mac: link.address ?? '',
    mtu: link.mtu,
    queueLength: link.txqlen ?? 0,
    qdisc: link.qdisc ?? '',
    up: link.flags.includes('UP'),
    master: link.master ?? null,
    hairpin: link.linkinfo?.info_slave_data?.['hairpin'] === true,
    addresses: link.addr_info
      .filter(({ scope }) => scope !== 'link')
      .map(({ local, prefixlen }) => `${local}/${prefixlen}`),
    plainBridge: data['stp_state'] === 0 && data['forward_delay'] === 0,
  }
}

/** The flags of a TUN are fixed at its creation: multi_queue, vnet_hdr, no packet information. */
function isUsableTun(data: Readonly<Record<string, unknown>>): boolean {
  return (
    data['type'] === 'tun' &&
    data['multi_queue'] === true &&
    data['vnet_hdr'] === true &&
    data['pi'] === false
  )
}
