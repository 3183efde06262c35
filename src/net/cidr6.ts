import { OverlayError } from '../errors.ts'
import { type Cidr, formatCidr } from './cidr.ts'
import { formatIpv6, type Ipv6, parseIpv6 } from './ipv6.ts'

/** An IPv6 prefix: `address` has no bit set beyond `length`. */
export interface Cidr6 {
  readonly address: Ipv6
  readonly length: number
}

const BITS = 128

/** "fd00:32:5::/64" to a prefix; bits beyond the length are an error. @throws OverlayError bad_input */
export function parseCidr6(text: string): Cidr6 {
  const [ip, length, ...rest] = text.split('/')
  if (
    length === undefined ||
    rest.length > 0 ||
    !/^(0|[1-9]\d{0,2})$/.test(length) ||
    +length > BITS
  ) {
    throw new OverlayError('bad_input', `"${text}" is not an IPv6 prefix such as fd00:32:5::/64`)
  }
  const address = parseIpv6(ip ?? '')
  const cidr = prefixOf6(address, Number(length))
  if (cidr.address !== address) {
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

/** The prefix of that length that holds the address. */
export function prefixOf6(ip: Ipv6, length: number): Cidr6 {
  const beyond = BigInt(BITS - length)
  return { address: (ip >> beyond) << beyond, length }
}

export function containsIp6(cidr: Cidr6, ip: Ipv6): boolean {
  return prefixOf6(ip, cidr.length).address === cidr.address
}

/** Tells the families apart where both may stand. */
export function isCidr6(cidr: Cidr | Cidr6): cidr is Cidr6 {
  return 'address' in cidr
}

/** A prefix of either family as text. */
export function formatSubnet(cidr: Cidr | Cidr6): string {
  return isCidr6(cidr) ? formatCidr6(cidr) : formatCidr(cidr)
}
