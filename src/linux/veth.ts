import { z } from 'zod'
import { OverlayError } from '../errors.ts'
import type { Mac } from '../net/mac.ts'
import { OWN_PATHS, type HostPaths } from './host-paths.ts'
import { ipLink, type IpLink } from './ip.ts'
import { run, type RunOptions } from './run.ts'
import { writeSysctl } from './sysctls.ts'

/** The two ends of a container's cable. */
export interface VethPair {
  /** Name of the end that is a port of the bridge. */
  readonly host: string
  /** Name of the end that libnetwork moves into the container. */
  readonly container: string
  readonly bridge: string
  readonly mtu: number
  /** Largest super-packet that a TCP sender on either end builds, in bytes. */
  readonly gsoMaxSize: number
  /** Of the container's end. */
  readonly mac: Mac
}

/**
 * Makes the pair, the host's end up and in the bridge, by one request to the kernel, which makes all
 * of it or nothing. An equal pair that is there already is success. The host's end must be among
 * `HostState.ports` before it is made, since applyHostState() removes it otherwise.
 * @throws OverlayError host_state, or conflict when another link has the name
 */
export async function addVeth(
  pair: VethPair,
  options: RunOptions & { readonly paths?: HostPaths } = {},
): Promise<void> {
  const { host, container, bridge, mac } = pair
  const sizes = ['mtu', String(pair.mtu), 'gso_max_size', String(pair.gsoMaxSize)]
  // prettier-ignore
  const args = [
    'link', 'add', 'name', host, ...sizes, 'master', bridge, 'up',
    'type', 'veth', 'peer', 'name', container, ...sizes, 'address', mac,
  ]
  const { code, stderr } = await run('ip', args, { ...options, accept: [1, 2] })
  if (code === 0) return keepQuiet(host, options.paths ?? OWN_PATHS)
  const isTaken = stderr.includes('File exists')
  if (isTaken && (await isSamePair(pair))) return
  const reason = stderr.trim().replace('RTNETLINK answers: ', '')
  throw new OverlayError(
    isTaken ? 'conflict' : 'host_state',
    `ip ${args.join(' ')}: ${reason}${isTaken ? `: another link is named ${host} or ${container}; remove it (ip link del) and start the container again` : ''}`,
  )
}

/**
 * A port of a bridge needs no IPv6 of its own, whose multicast would go to the container. The cable
 * has no carrier before libnetwork sets the other end up, so nothing was sent yet. Noise is no reason
 * to refuse a container where /proc/sys cannot be written.
 */
function keepQuiet(host: string, { procSys }: HostPaths): void {
  try {
    writeSysctl(`net/ipv6/conf/${host}/disable_ipv6`, '1', procSys)
  } catch {}
}

async function isSamePair(pair: VethPair): Promise<boolean> {
  const [host, container] = await Promise.all([
    describeLink(pair.host),
    describeLink(pair.container),
  ])
  const isHost =
    host?.linkinfo?.info_kind === 'veth' && host.master === pair.bridge && host.mtu === pair.mtu
  // A container's end that has been moved into its container is not visible from here.
  const isMoved = container === null && host?.link_netnsid !== undefined
  return isHost && (isMoved || (container?.address === pair.mac && container.mtu === pair.mtu))
}

/** Removes a link, and with one end of a veth pair the other. @returns false when there was none */
export async function removeLink(name: string, options: RunOptions = {}): Promise<boolean> {
  const { code, stderr } = await run('ip', ['link', 'del', name], { ...options, accept: [1, 2] })
  if (code === 0) return true
  if (stderr.includes('Cannot find device')) return false
  throw new OverlayError('host_state', `ip link del ${name}: ${stderr.trim()}`)
}

/** What iproute2 says of the link, or null when there is none. @throws OverlayError host_state */
export async function describeLink(name: string, options: RunOptions = {}): Promise<IpLink | null> {
  const args = ['-json', '-details', 'address', 'show', 'dev', name]
  const { code, stdout, stderr } = await run('ip', args, { ...options, accept: [1] })
  if (code === 0) return z.array(ipLink).parse(JSON.parse(stdout))[0] ?? null
  if (stderr.includes('does not exist')) return null
  throw new OverlayError('host_state', `ip ${args.join(' ')}: ${stderr.trim()}`)
}
