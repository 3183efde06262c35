import { isIPv6 } from 'node:net'
import { z } from 'zod'
import { OverlayError } from '../errors.ts'
import { prefixOf, type Cidr } from '../net/cidr.ts'
import { prefixOf6, type Cidr6 } from '../net/cidr6.ts'
import { FAMILY_NAME, familyOf, isIpv4, type Ip, type IpFamily } from '../net/ip.ts'
import { parseIpv4, type Ipv4 } from '../net/ipv4.ts'
import { formatIp, parseIpv6, type Ipv6 } from '../net/ipv6.ts'
import { OWN_PATHS, type HostPaths } from './host-paths.ts'
import { LINK_PREFIX } from './host-state.ts'
import { ipLink, ipQuery, ipRoute, type IpLink, type IpRoute } from './ip.ts'
import { readNameservers, readNameservers6 } from './nameservers.ts'
import { ON_LINK_QUESTION, onLinkRoutesIn } from './on-link-routes.ts'

export interface UnderlayOptions {
  /** The interface between the hosts; that of the default route unless given. */
  readonly iface?: string
  /**
   * The address published to other hosts, when it is not the interface's own (NAT, one of several). Its
   * family is that of the tunnels; IPv4 unless given.
   */
  readonly hostIp?: Ip
  /** Those of a program on the host itself unless given. */
  readonly paths?: HostPaths
}

/** The network between the hosts, as this host sees it. */
export interface Underlay {
  readonly iface: string
  /** The interface's own address, to which sockets bind. */
  readonly ip: Ip
  /** The prefix that address lives in. */
  readonly prefix: Cidr | Cidr6
  /** What other hosts send to: `hostIp` when given, else `ip`. Of the same family. */
  readonly publicIp: Ip
  readonly mtu: number
  readonly defaultGateways: readonly Ipv4[]
  /** By which packets leave this host: `iface`, and the links of its default routes for IPv4. */
  readonly uplinks: readonly string[]
  /** Without our own bridges and routes. */
  readonly onLinkPrefixes: readonly { readonly prefix: Cidr; readonly dev: string | null }[]
  readonly nameservers: readonly Ipv4[]
  /** Bridges of others, by name, with the prefixes of their IPv4 addresses. */
  readonly bridges: ReadonlyMap<string, readonly Cidr[]>
  readonly ipv6: Underlay6
}

/** What an overlay with IPv6 inside must not hide from this host. Nothing that only one link knows (fe80::). */
export interface Underlay6 {
  /** Of links of others. */
  readonly addresses: readonly Ipv6[]
  readonly defaultGateways: readonly Ipv6[]
  readonly nameservers: readonly Ipv6[]
}

const DEFAULT_QUESTION = 'route show table main default'

/** @throws OverlayError host_state, in a sentence that names the setting to change */
export async function observeUnderlay(options: UnderlayOptions = {}): Promise<Underlay> {
  const family = tunnelFamily(options.hostIp)
  const { run } = options.paths ?? OWN_PATHS
  const [[addresses = [], defaults = [], onLink = []], [defaults6 = []], nameservers, servers6] =
    await Promise.all([
      ipQuery(['address show', DEFAULT_QUESTION, ON_LINK_QUESTION]),
      defaultRoutesOf6(family),
      readNameservers(run),
      readNameservers6(run),
    ])
  const links = z.array(ipLink).parse(addresses)
  const defaultRoutes = z.array(ipRoute).parse(defaults)
  const defaultRoutes6 = z.array(ipRoute).parse(defaults6)
  const ways = family === 'ipv6' ? defaultRoutes6 : defaultRoutes
  const link = underlayLink(links, ways, options)
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
    ipv6: {
      addresses: links
        .filter(({ ifname }) => !ifname.startsWith(LINK_PREFIX))
        .flatMap(globalAddresses6),
      defaultGateways: defaultRoutes6.flatMap(({ gateway }) =>
        gateway && isIPv6(gateway) && !gateway.startsWith('fe80:') ? [parseIpv6(gateway)] : [],
      ),
      nameservers: servers6,
    },
  }
}

/** A host with tunnels of IPv4 may have a kernel without IPv6. */
async function defaultRoutesOf6(family: IpFamily): Promise<unknown[][]> {
  try {
    return await ipQuery([DEFAULT_QUESTION], { family: 'inet6' })
  } catch (error) {
    if (family === 'ipv6') throw error
    return []
  }
}

const globalAddresses6 = ({ addr_info }: IpLink): Ipv6[] =>
  addr_info
    .filter(({ family, scope }) => family === 'inet6' && scope === 'global')
    .map(({ local }) => parseIpv6(local))

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

const tunnelFamily = (hostIp: Ip | undefined): IpFamily =>
  hostIp === undefined ? 'ipv4' : familyOf(hostIp)

const byMetric = (routes: readonly IpRoute[]): IpRoute[] =>
  routes.toSorted((a, b) => (a.metric ?? 0) - (b.metric ?? 0))

function ownAddress(link: IpLink, hostIp: Ip | undefined): Pick<Underlay, 'ip' | 'prefix'> {
  const family = tunnelFamily(hostIp)
  const all = addressesOf(link, family)
  const wished = all.find(({ ip }) => ip === hostIp)
  if (hostIp !== undefined && wished?.unusable) {
    throw new OverlayError(
      'host_state',
      `HOST_IP ${formatIp(hostIp)} cannot be used on ${link.ifname}: ${wished.unusable}`,
    )
  }
  const usable = all.filter((address) => address.unusable === null)
  const own = wished ?? usable.find(({ isLasting }) => isLasting) ?? usable[0]
  if (own === undefined) throw noAddress(link, family, hostIp)
  const { ip, length } = own
  return { ip, prefix: isIpv4(ip) ? prefixOf(ip, length) : prefixOf6(ip, length) }
}

function noAddress(link: IpLink, family: IpFamily, hostIp: Ip | undefined): OverlayError {
  const wish = hostIp === undefined ? '' : ` (HOST_IP ${formatIp(hostIp)} is only published)`
  const other = hostIp === undefined ? addressesOf(link, 'ipv6')[0] : undefined
  const remedy = other
    ? `give it one, or set HOST_IP to ${formatIp(other.ip)} on this host, and likewise on all others, for tunnels over IPv6`
    : 'give it one, or set IFACE to the interface that leads to the other hosts'
  return new OverlayError(
    'host_state',
    `the interface ${link.ifname} has no ${FAMILY_NAME[family]} address${wish}; ${remedy}`,
  )
}

interface OwnAddress {
  readonly ip: Ip
  readonly length: number
  /** Why not; null when there is nothing against it. */
  readonly unusable: string | null
  /** Not one of those that the kernel makes up and gives up by itself. */
  readonly isLasting: boolean
}

const addressesOf = ({ addr_info }: IpLink, family: IpFamily): OwnAddress[] =>
  addr_info
    .filter((address) => address.family === KERNEL_NAME[family] && address.scope === 'global')
    .map(({ local, prefixlen, tentative, dadfailed, temporary, deprecated }) => ({
      ip: family === 'ipv4' ? parseIpv4(local) : parseIpv6(local),
      length: prefixlen,
      unusable: dadfailed ? TAKEN : tentative ? TENTATIVE : null,
      isLasting: !temporary && !deprecated,
    }))

const KERNEL_NAME: Readonly<Record<IpFamily, string>> = { ipv4: 'inet', ipv6: 'inet6' }
const TAKEN = 'another machine has it too (duplicate address detection)'
const TENTATIVE =
  'the kernel is still asking whether another machine has it, which takes a second and a cable'

const has = (link: IpLink, wanted: Ip): boolean =>
  addressesOf(link, familyOf(wanted)).some(({ ip }) => ip === wanted)

const prefixes = ({ addr_info }: IpLink): Cidr[] =>
  addr_info
    .filter(({ family, scope }) => family === 'inet' && scope === 'global')
    .map(({ local, prefixlen }) => prefixOf(parseIpv4(local), prefixlen))

const isForeignBridge = ({ ifname, linkinfo }: IpLink): boolean =>
  linkinfo?.info_kind === 'bridge' && !ifname.startsWith(LINK_PREFIX)
