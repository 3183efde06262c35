import { OverlayError } from '../errors.ts'
import { type Cidr, containsIp, formatCidr } from './cidr.ts'
import { type Ip, isIpv4 } from './ip.ts'
import { formatIpv6, type Ipv6, parseIpv6 } from './ipv6.ts'

/** An IPv6 prefix: `address` has no bit set beyond `length`. */
export interface Cidr6 {
  readonly address: Ipv6
  readonly length: number
}

/** An address together with the length of the prefix it lives in, as `ip -6 addr` writes it. */
export interface InterfaceAddress6 {
  readonly ip: Ipv6
  readonly length: number
}

const BITS = 128

/** "fd00:32:5::/64" to a prefix; bits beyond the length are an error. @throws OverlayError bad_input */
export function parseCidr6(text: string): Cidr6 {
  const { ip, length } = parseSlashed(text, 'an IPv6 prefix such as fd00:32:5::/64')
  const cidr = prefixOf6(ip, length)
  if (cidr.address !== ip) {
    throw new OverlayError(
      'bad_input',
      `"${text}" has bits beyond its prefix length; did you mean ${formatCidr6(cidr)}`,
    )
  }
  return cidr
}

export function formatCidr6(cidr: Cidr6): string {
  return `${formatIpv6(cidr.address)}/${cidr.length}`
}

/** "fd00:32:5::2/64" to address and length. @throws OverlayError bad_input */
export function parseInterfaceAddress6(text: string): InterfaceAddress6 {
  return parseSlashed(text, 'an IPv6 address with a prefix length such as fd00:32:5::2/64')
}

export function formatInterfaceAddress6(address: InterfaceAddress6): string {
  return `${formatIpv6(address.ip)}/${address.length}`
}

/** The prefix of that length that holds the address. */
export function prefixOf6(ip: Ipv6, length: number): Cidr6 {
  const beyond = BigInt(BITS - length)
  return { address: (ip >> beyond) << beyond, length }
}

export function containsIp6(cidr: Cidr6, ip: Ipv6): boolean {
  return prefixOf6(ip, cidr.length).address === cidr.address
}

export function lastOf6(cidr: Cidr6): Ipv6 {
  return cidr.address + (1n << BigInt(BITS - cidr.length)) - 1n
}

/** Whether `inner` lies wholly inside `outer`; a prefix contains itself. */
export function containsCidr6(outer: Cidr6, inner: Cidr6): boolean {
  return inner.length >= outer.length && containsIp6(outer, inner.address)
}

export function overlaps6(a: Cidr6, b: Cidr6): boolean {
  return a.length <= b.length ? containsCidr6(a, b) : containsCidr6(b, a)
}

export function sameCidr6(a: Cidr6, b: Cidr6): boolean {
  return a.address === b.address && a.length === b.length
}

/** Tells the families apart where both may stand. */
export function isCidr6(cidr: Cidr | Cidr6): cidr is Cidr6 {
  return 'address' in cidr
}

/** A prefix of either family as text. */
export function formatSubnet(cidr: Cidr | Cidr6): string {
  return isCidr6(cidr) ? formatCidr6(cidr) : formatCidr(cidr)
}

/** Whether the address lies in the prefix; one of the other family never does. */
export function subnetContains(cidr: Cidr | Cidr6, ip: Ip): boolean {
  if (isCidr6(cidr)) return !isIpv4(ip) && containsIp6(cidr, ip)
  return isIpv4(ip) && containsIp(cidr, ip)
}

function parseSlashed(text: string, what: string): InterfaceAddress6 {
  const [ip, length, ...rest] = text.split('/')
  if (
    length === undefined ||
    rest.length > 0 ||
    !/^(0|[1-9]\d{0,2})$/.test(length) ||
    +length > BITS
  ) {
    throw new OverlayError('bad_input', `"${text}" is not ${what}`)
  }
  return { ip: parseIpv6(ip ?? ''), length: Number(length) }
}
