import { isIPv4, isIPv6 } from 'node:net'
import { z } from 'zod'
import { messageOf, OverlayError } from '../src/errors.ts'
import { overlaps, parseCidr, type Cidr } from '../src/net/cidr.ts'
import { containsIp6, parseCidr6 } from '../src/net/cidr6.ts'
import { isIpv4, parseIp, type Ip } from '../src/net/ip.ts'
import { parseIpv4 } from '../src/net/ipv4.ts'
import { formatIp, parseIpv6 } from '../src/net/ipv6.ts'
import { Secret } from './secret.ts'

/** Where to listen, or where something listens. */
export interface ListenAddress {
  readonly host: string
  readonly port: number
}

/** sun_path of unix(7) has 108 bytes, the last of them zero. */
const SOCKET_PATH_MAX = 107

const ETCD_PORT = '2379'

const LOOPBACK = '127.0.0.1'

/** IFNAMSIZ of Linux is 16, the last of them zero. */
const INTERFACE_NAME = /^[^\s/:]{1,15}$/

/** Addresses that no container may have: this network, loopback, link-local, multicast and beyond. */
const UNUSABLE = ['0.0.0.0/8', '127.0.0.0/8', '169.254.0.0/16', '224.0.0.0/3'].map(parseCidr)

/** No host's alone: none and loopback, IPv4 within IPv6, link-local, multicast (RFC 4291 section 2). */
const UNUSABLE6 = ['::/127', '::ffff:0:0/96', 'fe80::/10', 'ff00::/8'].map(parseCidr6)

/** The narrowest NETWORK, as flannel has it: four subnets of four addresses. */
const NETWORK_MAX_LENGTH = 28

/**
 * A schema from "what is wanted" and a reader of non-empty text, which returns undefined or throws
 * what more there is to say when the text is wrong.
 */
function reading<T>(wanted: string, read: (text: string) => T | undefined): z.ZodType<T, string> {
  return z.string().transform((found, context) => {
    const problem = (detail: string): never => {
      context.addIssue({ code: 'custom', message: `wanted ${wanted}${detail}` })
      return z.NEVER
    }
    try {
      return read(found) ?? problem('')
    } catch (error) {
      return problem(` (${messageOf(error)})`)
    }
  })
}

export const text = reading('a word', (found) => found)

export const secret = reading('a word', (found) => new Secret(found))

export function wholeNumber(from: number, to: number): z.ZodType<number, string> {
  return reading(`a whole number from ${from} to ${to}`, (found) => {
    const value = /^\d{1,6}$/.test(found) ? Number(found) : NaN
    return value >= from && value <= to ? value : undefined
  })
}

export const dscp = reading(
  '"inherit" or a whole number from 0 to 63',
  (found): number | 'inherit' | undefined => {
    if (found === 'inherit') return found
    return /^\d{1,2}$/.test(found) && Number(found) <= 63 ? Number(found) : undefined
  },
)

/** One of the words; `refused` are understood, and the reason against each is said. */
export function oneOf<const Word extends string>(
  words: readonly Word[],
  refused: Readonly<Record<string, string>> = {},
): z.ZodType<Word, string> {
  return reading(words.join(', '), (found) => {
    const reason = refused[found]
    if (reason !== undefined) throw new OverlayError('unsupported', reason)
    return words.find((word) => word === found)
  })
}

export const absolutePath = reading('an absolute path', (found) =>
  /^\/+[^/]/.test(found) ? found : undefined,
)

export const socketPath = reading(
  `an absolute path of at most ${SOCKET_PATH_MAX} bytes`,
  (found) =>
    /^\/.*[^/]$/.test(found) && Buffer.byteLength(found) <= SOCKET_PATH_MAX ? found : undefined,
)

export const interfaceName = reading(
  "an interface's name such as eth0, of at most 15 characters",
  (found) => (INTERFACE_NAME.test(found) ? found : undefined),
)

export const unicastIp = reading(
  'an address such as 172.18.10.96 or fd00:18::96',
  (found): Ip | undefined => {
    const ip = parseIp(found)
    return isUnusableIp(ip) ? undefined : ip
  },
)

export const overlayNetwork = reading(
  `an IPv4 prefix such as 10.32.0.0/12, not longer than /${NETWORK_MAX_LENGTH} and usable for hosts`,
  (found): Cidr | undefined => {
    const network = parseCidr(found)
    return network.length > NETWORK_MAX_LENGTH || isUnusable(network) ? undefined : network
  },
)

function isUnusableIp(ip: Ip): boolean {
  return isIpv4(ip)
    ? isUnusable({ base: ip, length: 32 })
    : UNUSABLE6.some((unusable) => containsIp6(unusable, ip))
}

function isUnusable(cidr: Cidr): boolean {
  return UNUSABLE.some((unusable) => overlaps(unusable, cidr))
}

export const etcdPrefix = reading(
  'a path such as /overlay-ts, without a slash at its end',
  (found) => (/^(\/[\w.-]+)+$/.test(found) ? found : undefined),
)

export const etcdEndpoints = reading(
  'URLs such as http://172.18.10.95:2379 separated by commas, all http or all https',
  (found): readonly string[] | undefined => {
    const origins = found.split(',').map((part) => etcdOrigin(part.trim()))
    const protocols = new Set(origins.map((origin) => origin.split(':')[0]))
    return protocols.size === 1 ? origins : undefined
  },
)

/** "http://172.18.10.95:2379/" to "http://172.18.10.95:2379", the port always said. */
function etcdOrigin(found: string): string {
  if (found === '') throw new OverlayError('bad_input', 'there is a comma too many')
  const url = URL.parse(found)
  if (url === null || (url.protocol !== 'http:' && url.protocol !== 'https:')) {
    const hint = URL.canParse(`http://${found}`) ? `; did you mean http://${found}` : ''
    throw new OverlayError('bad_input', `"${found}" is no such URL${hint}`)
  }
  if (url.username !== '' || url.password !== '') {
    throw new OverlayError('bad_input', 'names and passwords belong in ETCD_USER and ETCD_PASSWORD')
  }
  if (url.pathname !== '/' || url.search !== '' || url.hash !== '') {
    throw new OverlayError(
      'bad_input',
      `"${found}" has more than a host and a port; see ETCD_PREFIX`,
    )
  }
  // URL forgets a port that is its protocol's own.
  const port = /:(\d+)\/?$/.exec(found)?.[1] ?? ETCD_PORT
  return `${url.protocol}//${url.hostname}:${port}`
}

export const etcdListen = reading(
  "an address of this host's own network, as 172.18.10.96, 172.18.10.96:2379 or [fd00:18::96]:2379; 127.0.0.1:2380 for another port and this host only",
  (found): ListenAddress | undefined => {
    const [, bracketed, plain = '', port = ETCD_PORT] =
      /^(?:\[([^\]]+)\]|([^:[\]]+))(?::(\d{1,5}))?$/.exec(found) ?? []
    if (!(Number(port) >= 1 && Number(port) <= 65535)) return undefined
    if (plain === LOOPBACK) return { host: plain, port: Number(port) }
    const ip = bracketed === undefined ? parseIpv4(plain) : parseIpv6(bracketed)
    return isUnusableIp(ip) ? undefined : { host: formatIp(ip), port: Number(port) }
  },
)

export const listenAddress = reading(
  'an address and a port such as 127.0.0.1:9847 or [::1]:9847',
  (found): ListenAddress | undefined => {
    const [, bracketed, plain, digits] = /^(?:\[([^\]]+)\]|([^:]+)):(\d{1,5})$/.exec(found) ?? []
    const port = Number(digits)
    const host = bracketed ?? plain ?? ''
    const isAddress = bracketed === undefined ? isIPv4(host) : isIPv6(host)
    return isAddress && port <= 65535 ? { host, port } : undefined
  },
)

export const dockerAddress = reading(
  'unix:///path/to/docker.sock or tcp://host:port',
  (found): string | undefined => {
    if (/^unix:\/\/\/[^/]/.test(found)) return found
    const url = URL.parse(found)
    return url?.protocol === 'tcp:' && url.hostname !== '' && url.port !== '' ? found : undefined
  },
)
