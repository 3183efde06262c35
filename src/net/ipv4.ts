import { isIPv4 } from 'node:net'
import { OverlayError } from '../errors.ts'

/** An IPv4 address as an unsigned 32-bit number: 10.0.0.1 is 0x0a000001. */
export type Ipv4 = number

/**
 * Strict dotted quad to number. Octal, short and padded forms are refused, since an address that
 * two programs read differently is an address given twice.
 * @throws OverlayError bad_input
 */
export function parseIpv4(text: string): Ipv4 {
  if (!isIPv4(text)) {
    throw new OverlayError('bad_input', `"${text}" is not an IPv4 address such as 10.32.5.2`)
  }
  return text.split('.').reduce((sum, part) => sum * 256 + Number(part), 0)
}

export function formatIpv4(ip: Ipv4): string {
  return `${ip >>> 24}.${(ip >>> 16) & 255}.${(ip >>> 8) & 255}.${ip & 255}`
}
