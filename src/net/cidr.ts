import { OverlayError } from '../errors.ts'
import { formatIpv4, parseIpv4, type Ipv4 } from './ipv4.ts'

/** A prefix: `base` has no bit set beyond `length`. */
export interface Cidr {
  readonly base: Ipv4
  readonly length: number
}

/** An address together with the length of the prefix it lives in, as `ip addr` writes it. */
export interface InterfaceAddress {
  readonly ip: Ipv4
  readonly length: number
}

/** The netmask of a prefix length as an unsigned number: 24 gives 0xffffff00. */
export function maskOf(length: number): number {
  return length === 0 ? 0 : (~0 << (32 - length)) >>> 0
}

/** "10.32.5.2/24" to address and length. @throws OverlayError bad_input */
export function parseInterfaceAddress(text: string): InterfaceAddress {
  const [ip, length, ...rest] = text.split('/')
  if (length === undefined || rest.length > 0 || !/^(0|[1-9]\d?)$/.test(length) || +length > 32) {
    throw new OverlayError(
      'bad_input',
      `"${text}" is not an address with a prefix length such as 10.32.5.2/24`,
    )
  }
  return { ip: parseIpv4(ip ?? ''), length: Number(length) }
}

export function formatInterfaceAddress(address: InterfaceAddress): string {
  return `${formatIpv4(address.ip)}/${address.length}`
}

/** "10.32.5.0/24" to a prefix; bits beyond the length are an error. @throws OverlayError bad_input */
export function parseCidr(text: string): Cidr {
  const { ip, length } = parseInterfaceAddress(text)
  const cidr = prefixOf(ip, length)
  if (cidr.base !== ip) {
    throw new OverlayError(
      'bad_input',
      `"${text}" has bits beyond its prefix length; did you mean ${formatCidr(cidr)}`,
    )
  }
  return cidr
}

export function formatCidr(cidr: Cidr): string {
  return `${formatIpv4(cidr.base)}/${cidr.length}`
}

/** The prefix of that length that holds the address. */
export function prefixOf(ip: Ipv4, length: number): Cidr {
  return { base: (ip & maskOf(length)) >>> 0, length }
}

/** How many addresses the prefix spans: 256 for a /24. */
export function sizeOf(cidr: Cidr): number {
  return 2 ** (32 - cidr.length)
}

export function lastOf(cidr: Cidr): Ipv4 {
  return cidr.base + sizeOf(cidr) - 1
}

export function containsIp(cidr: Cidr, ip: Ipv4): boolean {
  return (ip & maskOf(cidr.length)) >>> 0 === cidr.base
}

/** Whether `inner` lies wholly inside `outer`; a prefix contains itself. */
export function containsCidr(outer: Cidr, inner: Cidr): boolean {
  return inner.length >= outer.length && containsIp(outer, inner.base)
}

export function overlaps(a: Cidr, b: Cidr): boolean {
  return a.length <= b.length ? containsCidr(a, b) : containsCidr(b, a)
}

export function sameCidr(a: Cidr, b: Cidr): boolean {
  return a.base === b.base && a.length === b.length
}

/** Orders by base address, then the wider prefix first. */
export function compareCidr(a: Cidr, b: Cidr): number {
  return a.base - b.base || a.length - b.length
}
