import { createHash } from 'node:crypto'
import { OverlayError } from '../errors.ts'
import type { Ipv4 } from './ipv4.ts'

/** A MAC address in lower-case colon form, as flannel and libnetwork write it. */
export type Mac = string

const FORM = /^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/

/** Any-case colon form to canonical lower case. @throws OverlayError bad_input */
export function parseMac(text: string): Mac {
  const mac = text.toLowerCase()
  if (!FORM.test(mac)) {
    throw new OverlayError('bad_input', `"${text}" is not a MAC address such as 02:42:0a:20:05:02`)
  }
  return mac
}

/** The six bytes on the wire. */
export function macBytes(mac: Mac): Uint8Array {
  return Uint8Array.from(mac.split(':'), (part) => Number.parseInt(part, 16))
}

export function formatMac(bytes: ArrayLike<number>): Mac {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join(':')
}

/** Docker's own habit (libnetwork netutils.GenerateMACFromIP): 02:42 and the four address bytes. */
export function macOfIpv4(ip: Ipv4): Mac {
  return formatMac([0x02, 0x42, ip >>> 24, (ip >>> 16) & 255, (ip >>> 8) & 255, ip & 255])
}

/** A stable, locally administered unicast MAC for a thing named by the given words. */
export function derivedMac(...words: string[]): Mac {
  const bytes = createHash('sha256').update(words.join('\0')).digest().subarray(0, 6)
  bytes[0] = (bytes[0]! & 0xfc) | 0x02
  return formatMac(bytes)
}
