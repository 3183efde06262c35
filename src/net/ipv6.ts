import { isIPv4, isIPv6 } from 'node:net'
import { OverlayError } from '../errors.ts'
import { formatIpv4, type Ipv4, parseIpv4 } from './ipv4.ts'

/** An IPv6 address as an unsigned 128-bit number: ::1 is 1n. `typeof` tells it from an Ipv4. */
export type Ipv6 = bigint

const GROUPS = 8
const BYTES = 16

/** ::ffff:0:0/96, the addresses of IPv4 within IPv6 (RFC 4291 section 2.5.5.2). */
const MAPPED = 0xffff_0000_0000n

/**
 * Any text form of RFC 4291 section 2.2 to number: zeros left out once (::), an IPv4 tail. An address
 * with a zone (%eth0) is refused, since it means something on one machine only.
 * @throws OverlayError bad_input
 */
export function parseIpv6(text: string): Ipv6 {
  if (!isIPv6(text) || text.includes('%')) {
    throw new OverlayError('bad_input', `"${text}" is not an IPv6 address such as fd00:32:5::2`)
  }
  const [before = [], after] = text.split('::').map(groupsOf)
  const zeros = after ? GROUPS - before.length - after.length : 0
  return [...before, ...Array<number>(zeros).fill(0), ...(after ?? [])].reduce(
    (sum, group) => sum * 0x1_0000n + BigInt(group),
    0n,
  )
}

/** The one form of RFC 5952: lower case, no leading zeros, the first longest run of zeros as "::". */
export function formatIpv6(ip: Ipv6): string {
  if (ip >> 32n === MAPPED >> 32n) return `::ffff:${formatIpv4(Number(ip & 0xffff_ffffn))}`
  const groups = Array.from({ length: GROUPS }, (_, index) =>
    Number((ip >> BigInt(16 * (GROUPS - 1 - index))) & 0xffffn),
  )
  const { at, length } = longestZeros(groups)
  const written = (part: readonly number[]): string => part.map((n) => n.toString(16)).join(':')
  if (length < 2) return written(groups)
  return `${written(groups.slice(0, at))}::${written(groups.slice(at + length))}`
}

/** An address of either family as text. */
export function formatIp(ip: Ipv4 | Ipv6): string {
  return typeof ip === 'bigint' ? formatIpv6(ip) : formatIpv4(ip)
}

/** The sixteen bytes on the wire. */
export function ipv6Bytes(ip: Ipv6): Uint8Array {
  return Uint8Array.from({ length: BYTES }, (_, index) =>
    Number((ip >> BigInt(8 * (BYTES - 1 - index))) & 0xffn),
  )
}

/** The 16-bit groups of a part without "::"; an IPv4 tail is two of them. */
function groupsOf(part: string): number[] {
  if (part === '') return []
  return part.split(':').flatMap((group) => {
    if (!isIPv4(group)) return [Number.parseInt(group, 16)]
    const ip = parseIpv4(group)
    return [ip >>> 16, ip & 0xffff]
  })
}

function longestZeros(groups: readonly number[]): { at: number; length: number } {
  let longest = { at: 0, length: 0 }
  for (let at = 0, length = 0; at < groups.length; at++) {
    length = groups[at] === 0 ? length + 1 : 0
    if (length > longest.length) longest = { at: at - length + 1, length }
  }
  return longest
}
