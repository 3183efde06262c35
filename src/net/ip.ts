import { isIPv4 } from 'node:net'
import { OverlayError } from '../errors.ts'
import { parseIpv4, type Ipv4 } from './ipv4.ts'
import { parseIpv6, type Ipv6 } from './ipv6.ts'

/** An address of either family, each as its own file has it. */
export type Ip = Ipv4 | Ipv6

export type IpFamily = 'ipv4' | 'ipv6'

/** The families as people write them. */
export const FAMILY_NAME: Readonly<Record<IpFamily, string>> = { ipv4: 'IPv4', ipv6: 'IPv6' }

export const familyOf = (ip: Ip): IpFamily => (isIpv4(ip) ? 'ipv4' : 'ipv6')

/** Tells the families apart where both may stand. */
export const isIpv4 = (ip: Ip): ip is Ipv4 => typeof ip === 'number'

/** Text of either family to number. @throws OverlayError bad_input */
export function parseIp(text: string): Ip {
  if (isIPv4(text)) return parseIpv4(text)
  if (text.includes(':')) return parseIpv6(text)
  throw new OverlayError(
    'bad_input',
    `"${text}" is not an IP address such as 172.18.10.96 or fd00:18::96`,
  )
}
