import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { hasIpv6, type HostState, type Tun } from './host-state.ts'

/** A setting that must hold. */
export interface SysctlRule {
  /** Under /proc/sys: "net/ipv4/ip_forward". */
  readonly path: string
  readonly value: string
  /** A limit that is raised to the value and never lowered. */
  readonly atLeast?: boolean
  /** The link it belongs to: it exists as long as the link does. */
  readonly link?: string
  /** Whoever makes the link sets it then. */
  readonly ofOldLink?: boolean
  /** The addresses and routes of IPv6 that the link has go with it. */
  readonly takesIpv6Away?: boolean
}

/**
 * One neighbour entry is needed for each (container, remote address) in a table that all namespaces
 * share; at gc_thresh3 the kernel refuses new ones ("neighbour table overflow").
 */
const NEIGHBOUR_LIMITS = { gc_thresh1: '8192', gc_thresh2: '49152', gc_thresh3: '65536' }

/** IN6_ADDR_GEN_MODE_NONE */
const NO_LINK_LOCAL = '1'

/** The settings that a wanted state needs beside those it lists itself. */
export function wantedSysctls(want: HostState): SysctlRule[] {
  const listed = [...want.sysctls].map(([path, value]): SysctlRule => ({ path, value }))
  if (want.tun === null && want.bridges.length === 0) return listed
  return [
    ...listed,
    { path: 'net/ipv4/ip_forward', value: '1' },
    ...['ipv4', 'ipv6'].flatMap((family) =>
      Object.entries(NEIGHBOUR_LIMITS).map(([name, value]): SysctlRule => {
        return { path: `net/${family}/neigh/default/${name}`, value, atLeast: true }
      }),
    ),
    ...(want.tun ? tunSysctls(want.tun) : []),
    ...want.bridges.flatMap((bridge) => [
      ...linkSysctls(bridge.name, bridge.addresses),
      rule(bridge.name, 'ipv4/conf', 'proxy_arp', bridge.proxyArp ? '1' : '0'),
      // The default holds every proxied answer back for up to 0.8 s (neigh.default.proxy_delay).
      ...(bridge.proxyArp ? [rule(bridge.name, 'ipv4/neigh', 'proxy_delay', '0')] : []),
    ]),
    // As the cable is made (veth.ts); the kernel forgets it when the link is too narrow for IPv6 for a while.
    ...want.ports.map(({ name }) => ({
      ...rule(name, 'ipv6/conf', 'disable_ipv6', '1'),
      ofOldLink: true,
    })),
    // So that a published port is found at 127.0.0.1 too; the isolation table keeps the other way shut.
    ...want.waysOut.map(({ bridge }) => rule(bridge, 'ipv4/conf', 'route_localnet', '1')),
  ]
}

function tunSysctls({ name, addresses }: Tun): SysctlRule[] {
  // No address of the link itself (fe80::): what the host says from it would be dropped as forged.
  const quiet = hasIpv6(addresses) ? [rule(name, 'ipv6/conf', 'addr_gen_mode', NO_LINK_LOCAL)] : []
  return [...quiet, ...linkSysctls(name, addresses)]
}

function linkSysctls(link: string, addresses: readonly string[]): SysctlRule[] {
  const ipv6 = hasIpv6(addresses)
  return [
    rule(link, 'ipv4/conf', 'forwarding', '1'),
    rule(link, 'ipv4/conf', 'send_redirects', '0'),
    // Without IPv6 addresses the host must neither speak IPv6 on the link nor believe a container's
    // router advertisements.
    rule(link, 'ipv6/conf', 'accept_ra', '0'),
    ...(ipv6
      ? [
          // The link's own address (fe80::), from which the host asks for containers, is of use at once
          // and not after a second of asking whether somebody has it (RFC 4862 section 5.4): it is made
          // from the bridge's MAC, which nobody else has.
          rule(link, 'ipv6/conf', 'accept_dad', '0'),
        ]
      : []),
    { ...rule(link, 'ipv6/conf', 'disable_ipv6', ipv6 ? '0' : '1'), takesIpv6Away: !ipv6 },
  ]
}

const rule = (link: string, folder: string, name: string, value: string): SysctlRule => {
  return { path: `net/${folder}/${link}/${name}`, value, link }
}

/**
 * The values by path below `root` (HostPaths.procSys); null where the kernel has no such setting (no IPv6, not the initial namespace).
 */
export function readSysctls(
  paths: readonly string[],
  root: string,
): ReadonlyMap<string, string | null> {
  return new Map(paths.map((path) => [path, readSysctl(join(root, path))]))
}

function readSysctl(file: string): string | null {
  try {
    return readFileSync(file, 'utf8').trim()
  } catch {
    return null
  }
}

/** @returns false when the kernel has no such setting @throws what fs throws otherwise */
export function writeSysctl(path: string, value: string, root: string): boolean {
  try {
    writeFileSync(join(root, path), value, { flag: 'r+' })
    return true
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return false
    throw error
  }
}

/** Whether a value that was read satisfies the rule. */
export function satisfies(have: string, { value, atLeast }: SysctlRule): boolean {
  return atLeast ? Number(have) >= Number(value) : have === value
}
