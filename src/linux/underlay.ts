import { z } from 'zod'
import { OverlayError } from '../errors.ts'
import { prefixOf, type Cidr } from '../net/cidr.ts'
import { formatIpv4, parseIpv4, type Ipv4 } from '../net/ipv4.ts'
import { OWN_PATHS, type HostPaths } from './host-paths.ts'
import { LINK_PREFIX } from './host-state.ts'
import { ipLink, ipQuery, ipRoute, type IpLink, type IpRoute } from './ip.ts'
import { readNameservers } from './nameservers.ts'
import { ON_LINK_QUESTION, onLinkRoutesIn } from './on-link-routes.ts'

export interface UnderlayOptions {
  /** The interface between the hosts; that of the default route unless given. */
  readonly iface?: string
  /** The address published to other hosts, when it is not the interface's own (NAT, one of several). */
  readonly hostIp?: Ipv4
  /** Those of a program on the host itself unless given. */
  readonly paths?: HostPaths
}

/** The network between the hosts, as this host sees it. */
export interface Underlay {
  readonly iface: string
  /** The interface's own address, to which sockets bind. */
  readonly ip: Ipv4
  /** The prefix that address lives in. */
  readonly prefix: Cidr
  /** What other hosts send to: `hostIp` when given, else `ip`. */
  readonly publicIp: Ipv4
  readonly mtu: number
  readonly defaultGateways: readonly Ipv4[]
  /** By which packets leave this host: `iface`, and the links of its default routes for IPv4. */
  readonly uplinks: readonly string[]
  /** Without our own bridges and routes. */
  readonly onLinkPrefixes: readonly { readonly prefix: Cidr; readonly dev: string | null }[]
  readonly nameservers: readonly Ipv4[]
  /** Bridges of others, by name, with the prefixes of their IPv4 addresses. */
  readonly bridges: ReadonlyMap<string, readonly Cidr[]>
}

/** @throws OverlayError host_state, in a sentence that names the setting to change */
export async function observeUnderlay(options: UnderlayOptions = {}): Promise<Underlay> {
  const [[addresses = [], defaults = [], onLink = []], nameservers] = await Promise.all([
    ipQuery(['address show', 'route show table main default', ON_LINK_QUESTION]),
    readNameservers((options.paths ?? OWN_PATHS).run),
  ])
  const links = z.array(ipLink).parse(addresses)
  const defaultRoutes = z.array(ipRoute).parse(defaults)
  const link = underlayLink(links, defaultRoutes, options)
  const own = ownAddress(link, options.hostIp)
  return {
    iface: link.ifname,
    ...own,
    publicIp: options.hostIp ?? own.ip,
    mtu: link.mtu,
    uplinks: uplinksOf(link.ifname, defaultRoutes),
    defaultGateways: defaultRoutes.flatMap(({ gateway }) => (gateway ? [parseIpv4(gateway)] : [])),
    onLinkPrefixes: onLinkRoutesIn(onLink)
      .filter(({ ours }) => !ours)
      .map(({ prefix, dev }) => ({ prefix, dev })),
    nameservers,
    bridges: new Map(
      links.filter(isForeignBridge).map((bridge) => [bridge.ifname, prefixes(bridge)]),
    ),
  }
}

/**
 * The prefixes of the bridges that Docker keeps to this host: docker0, docker_gwbridge and one br-… for
 * each local network. Other hosts must not use them for containers, since this host could not reach them.
 */
export function privateBridgePrefixes({ bridges, iface }: Underlay): Cidr[] {
  return [...bridges]
    .filter(([name]) => name !== iface && /^(docker0|docker_gwbridge|br-.+)$/.test(name))
    .flatMap(([, prefixes]) => prefixes)
}

function underlayLink(
  links: readonly IpLink[],
  defaultRoutes: readonly IpRoute[],
  { iface, hostIp }: UnderlayOptions,
): IpLink {
  const withHostIp = links.find((link) => hostIp !== undefined && has(link, hostIp))
  const name = iface ?? withHostIp?.ifname ?? byMetric(defaultRoutes)[0]?.dev
  if (name === undefined) {
    throw new OverlayError(
      'host_state',
      'this host has no default route to tell its network by; set IFACE to the interface that leads to the other hosts',
    )
  }
  const link = links.find(({ ifname }) => ifname === name)
  if (link === undefined) {
    const others = links
      .map(({ ifname }) => ifname)
      .filter((other) => !other.startsWith(LINK_PREFIX))
    throw new OverlayError(
      'host_state',
      `there is no interface ${name} on this host; set IFACE to one of ${others.join(', ')}`,
    )
  }
  return link
}

function uplinksOf(iface: string, defaultRoutes: readonly IpRoute[]): string[] {
  const ways = defaultRoutes.flatMap(({ dev }) =>
    dev && !dev.startsWith(LINK_PREFIX) ? [dev] : [],
  )
  return [...new Set([iface, ...ways])].sort()
}

const byMetric = (routes: readonly IpRoute[]): IpRoute[] =>
  routes.toSorted((a, b) => (a.metric ?? 0) - (b.metric ?? 0))

function ownAddress(link: IpLink, hostIp: Ipv4 | undefined): { ip: Ipv4; prefix: Cidr } {
  const own = ipv4Addresses(link)
  const address = own.find(({ ip }) => ip === hostIp) ?? own[0]
  if (address === undefined) {
    const wish = hostIp === undefined ? '' : ` (HOST_IP ${formatIpv4(hostIp)} is only published)`
    throw new OverlayError(
      'host_state',
      `the interface ${link.ifname} has no IPv4 address${wish}; give it one, or set IFACE to the interface that leads to the other hosts`,
    )
  }
  return { ip: address.ip, prefix: prefixOf(address.ip, address.length) }
}

const ipv4Addresses = ({ addr_info }: IpLink): { ip: Ipv4; length: number }[] =>
  addr_info
    .filter(({ family, scope }) => family === 'inet' && scope === 'global')
    .map(({ local, prefixlen }) => ({ ip: parseIpv4(local), length: prefixlen }))

const has = (link: IpLink, wanted: Ipv4): boolean =>
  ipv4Addresses(link).some(({ ip }) => ip === wanted)

const prefixes = (link: IpLink): Cidr[] =>
  ipv4Addresses(link).map(({ ip, length }) => prefixOf(ip, length))

const isForeignBridge = ({ ifname, linkinfo }: IpLink): boolean =>
  linkinfo?.info_kind === 'bridge' && !ifname.startsWith(LINK_PREFIX)
