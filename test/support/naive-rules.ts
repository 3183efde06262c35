import type { ForwardingTables, RemoteSubnet } from '../../src/datapath/tables.ts'
import type { Ipv4 } from '../../src/net/ipv4.ts'
import type { Ipv6 } from '../../src/net/ipv6.ts'
import { macBytes } from '../../src/net/mac.ts'
import { joined, naiveSum } from './naive-packets.ts'
import { naiveLookup } from './naive-subnet-map.ts'

/**
 * What may pass, judged slowly and only from the RFCs' texts. It shares no code with src/ but the
 * notation of addresses. Whoever reads past the end of what is there gets a RangeError of DataView, and
 * such a packet is refused.
 */
export interface NaiveParts {
  readonly version: 4 | 6
  /** Of the IP header with options, or with the extension headers before what follows. */
  readonly headerLength: number
  readonly protocol: number
  readonly source: Ipv4 | Ipv6
  readonly destination: Ipv4 | Ipv6
  readonly tos: number
  /** Null: not looked for, or neither TCP nor UDP. */
  readonly transport: null | {
    readonly name: 'tcp' | 'udp'
    readonly headerLength: number
    /** Bytes that the checksum covers. */
    readonly covered: number
    readonly fieldAt: number
    readonly checksum: 'none' | 'valid' | 'partial' | 'bad'
  }
}

const viewOf = (bytes: Uint8Array): DataView =>
  new DataView(bytes.buffer, bytes.byteOffset, bytes.length)

/** The packet's parts, or null if it contradicts itself. */
export function naiveParts(bytes: Uint8Array): NaiveParts | null {
  try {
    const ip = viewOf(bytes).getUint8(0) >> 4 === 6 ? ipv6Parts(bytes) : ipv4Parts(bytes)
    if (ip === null) return null
    const transport = ip.isOpaque ? null : transportParts(bytes, ip)
    return transport === 'malformed' ? null : { ...ip, transport }
  } catch (error) {
    if (error instanceof RangeError) return null
    throw error
  }
}

type IpParts = Omit<NaiveParts, 'transport'> & { readonly isOpaque: boolean }

function ipv4Parts(bytes: Uint8Array): IpParts | null {
  const view = viewOf(bytes)
  const headerLength = (view.getUint8(0) & 15) * 4
  if (view.getUint8(0) >> 4 !== 4 || headerLength < 20 || headerLength > bytes.length) return null
  const [source, destination] = [view.getUint32(12), view.getUint32(16)]
  if (view.getUint16(2) !== bytes.length) return null
  const isFragment = (view.getUint16(6) & 0x3fff) !== 0
  return {
    version: 4,
    headerLength,
    protocol: view.getUint8(9),
    source,
    destination,
    tos: view.getUint8(1),
    isOpaque: isFragment,
  }
}

function ipv6Parts(bytes: Uint8Array): IpParts | null {
  const view = viewOf(bytes)
  const source = (view.getBigUint64(8) << 64n) | view.getBigUint64(16)
  const destination = (view.getBigUint64(24) << 64n) | view.getBigUint64(32)
  if (40 + view.getUint16(4) !== bytes.length) return null
  const tos = (view.getUint16(0) >> 4) & 0xff
  const parts = { version: 6 as const, source, destination, tos }

  let at = 40
  let next = view.getUint8(6)
  for (let count = 1; (next === 0 && count === 1) || [43, 44, 60].includes(next); count++) {
    if (count > 8) return null
    const length = next === 44 ? 8 : 8 * (view.getUint8(at + 1) + 1)
    view.getUint8(at + 7)
    if (next === 43 && view.getUint8(at + 3) !== 0) {
      return { ...parts, headerLength: at, protocol: 43, isOpaque: true }
    }
    view.getUint8(at + length - 1)
    const isPart = next === 44 && (view.getUint16(at + 2) >> 3 !== 0 || view.getUint8(at + 3) & 1)
    next = view.getUint8(at)
    at += length
    if (isPart) return { ...parts, headerLength: at, protocol: next, isOpaque: true }
  }
  return { ...parts, headerLength: at, protocol: next, isOpaque: false }
}

function transportParts(bytes: Uint8Array, ip: IpParts): NaiveParts['transport'] | 'malformed' {
  if (ip.protocol !== 6 && ip.protocol !== 17) return null
  const view = viewOf(bytes)
  const at = ip.headerLength
  const present = bytes.length - at
  if (ip.protocol === 6) {
    const headerLength = (view.getUint8(at + 12) >> 4) * 4
    view.getUint8(at + 19)
    if (headerLength < 20 || headerLength > present) return 'malformed'
    const checksum = judged(bytes, ip, present, at + 16)
    return { name: 'tcp', headerLength, covered: present, fieldAt: at + 16, checksum }
  }
  const covered = view.getUint16(at + 4)
  const isNone = view.getUint16(at + 6) === 0
  if (covered < 8 || covered > present) return 'malformed'
  const checksum = isNone ? 'none' : judged(bytes, ip, covered, at + 6)
  return { name: 'udp', headerLength: 8, covered, fieldAt: at + 6, checksum }
}

function judged(
  bytes: Uint8Array,
  ip: IpParts,
  covered: number,
  fieldAt: number,
): 'valid' | 'partial' | 'bad' {
  const pseudo = naivePseudoHeader(bytes, ip.version, ip.protocol, covered)
  const end = ip.headerLength + covered
  if (naiveSum(joined(pseudo, bytes.slice(ip.headerLength, end))) === 0xffff) return 'valid'
  const isPartial = viewOf(bytes).getUint16(fieldAt) === naiveSum(pseudo)
  return isPartial && end === bytes.length ? 'partial' : 'bad'
}

/** RFC 9293 section 3.1 and RFC 8200 section 8.1, from the addresses of a packet. */
export function naivePseudoHeader(
  bytes: Uint8Array,
  version: 4 | 6,
  protocol: number,
  length: number,
): Uint8Array {
  if (version === 4) {
    return joined(bytes.slice(12, 20), Uint8Array.of(0, protocol, length >> 8, length & 255))
  }
  return joined(
    bytes.slice(8, 40),
    Uint8Array.of(0, 0, length >> 8, length & 255, 0, 0, 0, protocol),
  )
}

const startsWith = (ip: Ipv4 | Ipv6, prefix: bigint, length: number): boolean =>
  BigInt(ip) >> BigInt((typeof ip === 'bigint' ? 128 : 32) - length) === prefix

/** RFC 6890, RFC 4291: names no host on a network. */
export function namesNoHost(ip: Ipv4 | Ipv6): boolean {
  if (typeof ip === 'number') {
    return (
      startsWith(ip, 0n, 8) ||
      startsWith(ip, 127n, 8) ||
      startsWith(ip, 0xa9fen, 16) ||
      startsWith(ip, 7n, 3)
    )
  }
  return (
    startsWith(ip, 0n, 96) ||
    startsWith(ip, 0xffffn, 96) ||
    startsWith(ip, 0xfe80n >> 6n, 10) ||
    startsWith(ip, 0xffn, 8)
  )
}

const isMulticastOrBroadcast = (ip: Ipv4 | Ipv6): boolean =>
  typeof ip === 'bigint' ? startsWith(ip, 0xffn, 8) : startsWith(ip, 0xen, 4) || ip === 0xffff_ffff

/** RFC 6040 section 4.2, figure 4, by inner and outer: Not-ECT, ECT(1), ECT(0), CE. Null is drop. */
const DECAPSULATED: readonly (readonly (number | null)[])[] = [
  [0, 0, 0, null],
  [1, 1, 1, 3],
  [2, 1, 2, 3],
  [3, 3, 3, 3],
]

/**
 * The packet that a host with these tables delivers of a frame, with the congestion mark of the way and
 * an IPv4 header checksum to match; or null if it must not deliver any.
 */
export function naiveReceive(
  frame: Uint8Array,
  tables: ForwardingTables,
  outer: { readonly source: Ipv4 | Ipv6; readonly tos: number },
): Uint8Array | null {
  if (frame.length < 22 + 20) return null
  const view = viewOf(frame)
  const vni = view.getUint32(4) >>> 8
  const hex = (from: number, to: number): string =>
    Buffer.from(frame.slice(from, to)).toString('hex')
  const mac = (text: string): string => Buffer.from(macBytes(text)).toString('hex')
  if (hex(0, 4) !== '08000000' || frame[7] !== 0) return null
  if (vni === 0 || !tables.local.some((local) => local.vni === vni)) return null
  if (hex(8, 14) !== mac(tables.vtepMac)) return null

  const packet = frame.slice(22)
  const parts = naiveParts(packet)
  if (!parts || view.getUint16(20) !== (parts.version === 6 ? 0x86dd : 0x0800)) return null
  if (parts.version === 4 && naiveSum(packet.slice(0, parts.headerLength)) !== 0xffff) return null
  if (namesNoHost(parts.source) || namesNoHost(parts.destination)) return null
  const source = naiveLookup(tables, parts.source)
  const destination = naiveLookup(tables, parts.destination)
  if (!source || !('publicIp' in source) || source.publicIp !== outer.source) return null
  if (hex(14, 20) !== mac(source.vtepMac)) return null
  if (!destination || 'publicIp' in destination) return null
  if (source.vni !== vni || destination.vni !== vni) return null
  if (parts.transport?.checksum === 'bad') return null

  const mark = DECAPSULATED[parts.tos & 3]![outer.tos & 3]!
  return mark === null ? null : marked(packet, parts, mark)
}

function marked(packet: Uint8Array, parts: NaiveParts, mark: number): Uint8Array {
  if (mark === (parts.tos & 3)) return packet
  if (parts.version === 6) return packet.with(1, (packet[1]! & 0xcf) | (mark << 4))
  const bytes = packet.with(1, (packet[1]! & 0xfc) | mark)
  viewOf(bytes).setUint16(10, 0)
  viewOf(bytes).setUint16(10, 0xffff - naiveSum(bytes.slice(0, parts.headerLength)))
  return bytes
}

/** Where an IP packet from the TUN is to go; null if it must not leave. */
export function naiveRoute(parts: NaiveParts, tables: ForwardingTables): RemoteSubnet | null {
  if (isMulticastOrBroadcast(parts.destination)) return null
  const source = naiveLookup(tables, parts.source)
  const destination = naiveLookup(tables, parts.destination)
  if (!source || 'publicIp' in source || source.vni === 0) return null
  if (!destination || !('publicIp' in destination)) return null
  return source.vni === destination.vni ? destination : null
}
