import { OverlayError } from '../errors.ts'
import { containsIp, parseCidr, type Cidr } from '../net/cidr.ts'
import { parseCidr6, type Cidr6 } from '../net/cidr6.ts'
import { formatIpv4, parseIpv4, type Ipv4 } from '../net/ipv4.ts'
import { formatIpv6 } from '../net/ipv6.ts'
import { isOverlayName } from './overlay-name.ts'

/** What a key speaks of. */
export type ParsedKey =
  | { readonly kind: 'config' }
  | { readonly kind: 'subnet'; readonly subnet: Cidr; readonly subnet6: Cidr6 | null }
  | { readonly kind: 'overlay'; readonly name: string }
  | { readonly kind: 'endpoint'; readonly subnet: Cidr; readonly ip: Ipv4 }
  | { readonly kind: 'host'; readonly hostId: string }
  | { readonly kind: 'private'; readonly hostId: string }
  | { readonly kind: 'holder'; readonly subnet: Cidr }
  | { readonly kind: 'allocator' }

/** The names of all keys under one prefix. No other file builds or reads a key. */
export interface Keyspace {
  /** "/overlay-ts" */
  readonly prefix: string
  /** "/overlay-ts/": what a range read or a watch of everything asks for. */
  readonly root: string
  config(): string
  /** Of a lease: an IPv4 subnet, and the IPv6 one that is behind the same host. */
  subnet(subnet: Cidr, subnet6?: Cidr6 | null): string
  overlay(name: string): string
  endpoint(subnet: Cidr, ip: Ipv4): string
  host(hostId: string): string
  privatePrefixes(hostId: string): string
  holder(subnet: Cidr): string
  allocator(): string
  /** What a key speaks of; null for a key that is not spelled as this file spells it. */
  parse(key: string): ParsedKey | null
}

const HOST_ID = /^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,63}$/

/** Whether a host identity can stand in a key. */
export function isHostId(text: string): boolean {
  return HOST_ID.test(text)
}

/** "10.32.5.0-24": flannel's spelling of a subnet in a key (pkg/subnet/subnet.go MakeSubnetKey). */
function spell(subnet: Cidr): string {
  return `${formatIpv4(subnet.base)}-${subnet.length}`
}

/** The same of both families, "10.32.5.0-24&fd00:32:0:5::-64", IPv6 in the form of RFC 5952. */
function spellBoth(subnet: Cidr, subnet6: Cidr6 | null | undefined): string {
  if (!subnet6) return spell(subnet)
  return `${spell(subnet)}&${formatIpv6(subnet6.address)}-${subnet6.length}`
}

/** "10.32.5.0-24" as "10.32.5.0/24". */
const slashed = (text: string): string => text.replace(/-(?=\d+$)/, '/')

const readSubnet = (text: string): Cidr | null => attempt(() => parseCidr(slashed(text)))

/** A subnet has one spelling, or one could be leased twice. */
function readLease(text: string): ParsedKey | null {
  const [text4 = '', text6] = text.split('&')
  const subnet = readSubnet(text4)
  const subnet6 = text6 === undefined ? null : attempt(() => parseCidr6(slashed(text6)))
  if (subnet === null || spellBoth(subnet, subnet6) !== text) return null
  return { kind: 'subnet', subnet, subnet6 }
}

function attempt<T>(read: () => T): T | null {
  try {
    return read()
  } catch {
    return null
  }
}

function readEndpoint(subnetText: string, ipText: string): ParsedKey | null {
  const subnet = readSubnet(subnetText)
  const ip = attempt(() => parseIpv4(ipText))
  if (subnet === null || ip === null || !containsIp(subnet, ip)) return null
  return { kind: 'endpoint', subnet, ip }
}

function readKey(parts: readonly string[]): ParsedKey | null {
  const [folder = '', name = '', last = ''] = parts
  if (parts.length === 1 && folder === 'config') return { kind: 'config' }
  if (parts.length === 1 && folder === 'allocator') return { kind: 'allocator' }
  if (parts.length === 3 && folder === 'endpoints') return readEndpoint(name, last)
  if (parts.length !== 2) return null
  if (folder === 'subnets') return readLease(name)
  if (folder === 'holders') {
    const subnet = readSubnet(name)
    return subnet && { kind: 'holder', subnet }
  }
  if (folder === 'overlays') return isOverlayName(name) ? { kind: 'overlay', name } : null
  if (folder === 'hosts') return isHostId(name) ? { kind: 'host', hostId: name } : null
  if (folder === 'private') return isHostId(name) ? { kind: 'private', hostId: name } : null
  return null
}

/** The keyspace under a prefix such as "/overlay-ts". @throws OverlayError bad_input */
export function createKeyspace(text: string): Keyspace {
  const prefix = text.replace(/\/+$/, '')
  if (prefix === '') {
    throw new OverlayError('bad_input', `"${text}" cannot be the etcd prefix: /overlay-ts is usual`)
  }
  const root = `${prefix}/`
  return {
    prefix,
    root,
    config: () => `${root}config`,
    subnet: (subnet, subnet6) => `${root}subnets/${spellBoth(subnet, subnet6)}`,
    overlay: (name) => `${root}overlays/${name}`,
    endpoint: (subnet, ip) => `${root}endpoints/${spell(subnet)}/${formatIpv4(ip)}`,
    host: (hostId) => `${root}hosts/${hostId}`,
    privatePrefixes: (hostId) => `${root}private/${hostId}`,
    holder: (subnet) => `${root}holders/${spell(subnet)}`,
    allocator: () => `${root}allocator`,
    parse: (key) => (key.startsWith(root) ? readKey(key.slice(root.length).split('/')) : null),
  }
}
