/**
 * Packets built and taken apart slowly, with a DataView and whole copies, straight from the RFCs' field
 * lists. It shares no code with src/, which it judges.
 */
export interface NaivePacket {
  /** IPv4 as a number, IPv6 as a bigint: both of one version. */
  readonly source: number | bigint
  readonly destination: number | bigint
  readonly protocol: number
  /** Type of service or traffic class. */
  readonly tos: number
  /** Time to live or hop limit. */
  readonly ttl: number
  /** IPv4 only. */
  readonly id: number
  /** IPv4 only: the reserved bit, don't-fragment, more-fragments and the offset. */
  readonly fragment: number
  /** IPv4 only. */
  readonly ipOptions: Uint8Array
  /** IPv6 only; 0 if left out. */
  readonly flowLabel?: number
  /** IPv6 only; none if left out. */
  readonly extensions?: readonly NaiveExtension[]
  readonly sourcePort: number
  readonly destinationPort: number
  readonly sequence: number
  readonly acknowledgment: number
  /** TCP's four bits after the header length; 0 if left out. */
  readonly reserved?: number
  readonly flags: number
  readonly window: number
  readonly urgent: number
  readonly tcpOptions: Uint8Array
  readonly payload: Uint8Array
}

/** An IPv6 extension header: its number, and all of it but the first byte, which tells what follows. */
export interface NaiveExtension {
  readonly type: number
  readonly rest: Uint8Array
}

export const TCP = 6
export const UDP = 17

export const PLAIN: NaivePacket & { readonly source: number; readonly destination: number } = {
  source: 0x0a050102,
  destination: 0x0a050203,
  protocol: TCP,
  tos: 0,
  ttl: 63,
  id: 1,
  fragment: 0x4000,
  ipOptions: new Uint8Array(0),
  sourcePort: 40_000,
  destinationPort: 80,
  sequence: 1000,
  acknowledgment: 2000,
  flags: 0x10,
  window: 500,
  urgent: 0,
  tcpOptions: new Uint8Array(0),
  payload: new Uint8Array(0),
}

/** fd00:5:1::2 to fd00:5:2::3. */
export const PLAIN6: NaivePacket & { readonly source: bigint; readonly destination: bigint } = {
  ...PLAIN,
  source: 0xfd00_0005_0001_0000_0000_0000_0000_0002n,
  destination: 0xfd00_0005_0002_0000_0000_0000_0000_0003n,
  id: 0,
  fragment: 0,
  flowLabel: 0x12345,
}

export function isIpv6(packet: NaivePacket): boolean {
  return typeof packet.source === 'bigint'
}

export function joined(...parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const whole = new Uint8Array(parts.reduce((length, part) => length + part.length, 0))
  let at = 0
  for (const part of parts) {
    whole.set(part, at)
    at += part.length
  }
  return whole
}

/** The ones' complement sum of big-endian words, a last byte padded with a zero. */
export function naiveSum(bytes: Uint8Array): number {
  let sum = 0
  for (let at = 0; at < bytes.length; at += 2) {
    sum += bytes[at]! * 256 + (bytes[at + 1] ?? 0)
    if (sum > 0xffff) sum -= 0xffff
  }
  return sum
}

export function naiveChecksum(bytes: Uint8Array): number {
  return 0xffff - naiveSum(bytes)
}

function addressBytes(address: number | bigint): Uint8Array {
  const hex = address.toString(16).padStart(typeof address === 'bigint' ? 32 : 8, '0')
  return Uint8Array.from(Buffer.from(hex, 'hex'))
}

/** IPv4: addresses, zero, protocol, 16-bit length. IPv6: addresses, 32-bit length, zeros, protocol. */
function pseudoHeader(packet: NaivePacket, length: number): Uint8Array {
  const addresses = [addressBytes(packet.source), addressBytes(packet.destination)]
  const view = new DataView(new ArrayBuffer(isIpv6(packet) ? 8 : 4))
  if (isIpv6(packet)) {
    view.setUint32(0, length)
    view.setUint8(7, packet.protocol)
  } else {
    view.setUint8(1, packet.protocol)
    view.setUint16(2, length)
  }
  return joined(...addresses, new Uint8Array(view.buffer))
}

function transportBytes(packet: NaivePacket): Uint8Array {
  if (packet.protocol === TCP) {
    const view = new DataView(new ArrayBuffer(20))
    view.setUint16(0, packet.sourcePort)
    view.setUint16(2, packet.destinationPort)
    view.setUint32(4, packet.sequence)
    view.setUint32(8, packet.acknowledgment)
    view.setUint8(12, ((20 + packet.tcpOptions.length) / 4) * 16 + (packet.reserved ?? 0))
    view.setUint8(13, packet.flags)
    view.setUint16(14, packet.window)
    view.setUint16(18, packet.urgent)
    return joined(new Uint8Array(view.buffer), packet.tcpOptions, packet.payload)
  }
  if (packet.protocol === UDP) {
    const view = new DataView(new ArrayBuffer(8))
    view.setUint16(0, packet.sourcePort)
    view.setUint16(2, packet.destinationPort)
    view.setUint16(4, 8 + packet.payload.length)
    return joined(new Uint8Array(view.buffer), packet.payload)
  }
  return packet.payload
}

/** Offset of the checksum in the transport header, or null. */
export function checksumOffset(packet: NaivePacket): number | null {
  return packet.protocol === TCP ? 16 : packet.protocol === UDP ? 6 : null
}

/**
 * The packet's bytes.
 * @param checksum complete; or partial, as a sender leaves it to its device: the pseudo header's sum
 */
export function naivePacket(
  packet: NaivePacket,
  checksum: 'complete' | 'partial' = 'complete',
): Uint8Array<ArrayBuffer> {
  const transport = transportBytes(packet)
  const offset = checksumOffset(packet)
  if (offset !== null) {
    const pseudo = pseudoHeader(packet, transport.length)
    const complete = naiveChecksum(joined(pseudo, transport))
    const sent = packet.protocol === UDP && complete === 0 ? 0xffff : complete
    new DataView(transport.buffer).setUint16(
      offset,
      checksum === 'complete' ? sent : naiveSum(pseudo),
    )
  }
  return joined(
    isIpv6(packet) ? header6(packet, transport.length) : header4(packet, transport.length),
    transport,
  )
}

function header4(packet: NaivePacket, transportLength: number): Uint8Array {
  const view = new DataView(new ArrayBuffer(12))
  view.setUint8(0, 0x40 + (20 + packet.ipOptions.length) / 4)
  view.setUint8(1, packet.tos)
  view.setUint16(2, 20 + packet.ipOptions.length + transportLength)
  view.setUint16(4, packet.id)
  view.setUint16(6, packet.fragment)
  view.setUint8(8, packet.ttl)
  view.setUint8(9, packet.protocol)
  const header = joined(
    new Uint8Array(view.buffer),
    addressBytes(packet.source),
    addressBytes(packet.destination),
    packet.ipOptions,
  )
  new DataView(header.buffer).setUint16(10, naiveChecksum(header))
  return header
}

function header6(packet: NaivePacket, transportLength: number): Uint8Array {
  const chain = packet.extensions ?? []
  const numbers = [...chain.map(({ type }) => type), packet.protocol]
  const extensions = joined(
    ...chain.flatMap(({ rest }, index) => [Uint8Array.of(numbers[index + 1]!), rest]),
  )
  const view = new DataView(new ArrayBuffer(8))
  view.setUint32(0, 6 * 2 ** 28 + packet.tos * 2 ** 20 + (packet.flowLabel ?? 0))
  view.setUint16(4, extensions.length + transportLength)
  view.setUint8(6, numbers[0]!)
  view.setUint8(7, packet.ttl)
  return joined(
    new Uint8Array(view.buffer),
    addressBytes(packet.source),
    addressBytes(packet.destination),
    extensions,
  )
}

type NaiveHeader = Omit<
  NaivePacket,
  | 'sourcePort'
  | 'destinationPort'
  | 'sequence'
  | 'acknowledgment'
  | 'reserved'
  | 'flags'
  | 'window'
  | 'urgent'
  | 'tcpOptions'
  | 'payload'
>

function parseHeader4(bytes: Uint8Array): { header: NaiveHeader; length: number } {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  const length = (view.getUint8(0) % 16) * 4
  const header = {
    tos: view.getUint8(1),
    id: view.getUint16(4),
    fragment: view.getUint16(6),
    ttl: view.getUint8(8),
    protocol: view.getUint8(9),
    source: view.getUint32(12),
    destination: view.getUint32(16),
    ipOptions: bytes.slice(20, length),
  }
  return { header, length }
}

/** Extension headers up to whatever is none: hop-by-hop, routing, fragment, destination options. */
function parseHeader6(bytes: Uint8Array): { header: NaiveHeader; length: number } {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  const extensions: NaiveExtension[] = []
  let length = 40
  let protocol = view.getUint8(6)
  while ([0, 43, 44, 60].includes(protocol)) {
    const size = protocol === 44 ? 8 : 8 + view.getUint8(length + 1) * 8
    extensions.push({ type: protocol, rest: bytes.slice(length + 1, length + size) })
    protocol = view.getUint8(length)
    length += size
  }
  const header = {
    tos: (view.getUint32(0) >>> 20) % 256,
    id: 0,
    fragment: 0,
    ttl: view.getUint8(7),
    protocol,
    source: (view.getBigUint64(8) << 64n) + view.getBigUint64(16),
    destination: (view.getBigUint64(24) << 64n) + view.getBigUint64(32),
    ipOptions: new Uint8Array(0),
    flowLabel: view.getUint32(0) % 2 ** 20,
    extensions,
  }
  return { header, length }
}

/** The fields of a TCP or UDP packet's bytes; checksums are for isSound(). */
export function parseNaive(bytes: Uint8Array): NaivePacket {
  const { header, length } = bytes[0]! >> 4 === 6 ? parseHeader6(bytes) : parseHeader4(bytes)
  const view = new DataView(bytes.buffer, bytes.byteOffset + length)
  const isTcp = header.protocol === TCP
  const transportLength = isTcp ? (view.getUint8(12) >> 4) * 4 : 8
  return {
    ...header,
    sourcePort: view.getUint16(0),
    destinationPort: view.getUint16(2),
    sequence: isTcp ? view.getUint32(4) : 0,
    acknowledgment: isTcp ? view.getUint32(8) : 0,
    reserved: isTcp ? view.getUint8(12) & 15 : 0,
    flags: isTcp ? view.getUint8(13) : 0,
    window: isTcp ? view.getUint16(14) : 0,
    urgent: isTcp ? view.getUint16(18) : 0,
    tcpOptions: isTcp ? bytes.slice(length + 20, length + transportLength) : new Uint8Array(0),
    payload: bytes.slice(length + transportLength),
  }
}

/** Length of the IP header with options or extension headers. */
export function headerLength(packet: NaivePacket): number {
  if (!isIpv6(packet)) return 20 + packet.ipOptions.length
  return (packet.extensions ?? []).reduce((length, { rest }) => length + 1 + rest.length, 40)
}

/** Whether the bytes are exactly those of their own fields, both checksums and all lengths included. */
export function isSound(bytes: Uint8Array): boolean {
  return Buffer.from(naivePacket(parseNaive(bytes))).equals(bytes)
}

export interface NaiveVnet {
  readonly flags: number
  readonly gsoType: number
  /** A hint that may be wrong. */
  readonly headerLength: number
  readonly gsoSize: number
  readonly csumStart: number
  readonly csumOffset: number
}

/** struct virtio_net_hdr, and the packet after it. */
export function withVnet(vnet: Partial<NaiveVnet>, packet: Uint8Array): Uint8Array<ArrayBuffer> {
  const view = new DataView(new ArrayBuffer(10))
  view.setUint8(0, vnet.flags ?? 0)
  view.setUint8(1, vnet.gsoType ?? 0)
  view.setUint16(2, vnet.headerLength ?? 0, true)
  view.setUint16(4, vnet.gsoSize ?? 0, true)
  view.setUint16(6, vnet.csumStart ?? 0, true)
  view.setUint16(8, vnet.csumOffset ?? 0, true)
  return joined(new Uint8Array(view.buffer), packet)
}

function gsoTypeOf(packet: NaivePacket): number {
  if (packet.protocol !== TCP) return 5
  return isIpv6(packet) ? 4 : 1
}

/** A super-packet as a kernel hands it to a TUN reader. */
export function superPacket(packet: NaivePacket, gsoSize: number): Uint8Array<ArrayBuffer> {
  return withVnet(
    {
      flags: 1,
      gsoType: gsoTypeOf(packet),
      gsoSize,
      csumStart: headerLength(packet),
      csumOffset: checksumOffset(packet) ?? 0,
    },
    naivePacket(packet, 'partial'),
  )
}

/** The packets that a super-packet stands for, field by field as tcp_gso_segment makes them. */
export function naiveSegments(packet: NaivePacket, gsoSize: number): NaivePacket[] {
  const count = Math.ceil(packet.payload.length / gsoSize)
  return Array.from({ length: count }, (_, index) => {
    const isLast = index === count - 1
    let { flags } = packet
    if (!isLast) flags &= ~0x09 // FIN and PSH
    if (index > 0) flags &= ~0x80 // CWR
    return {
      ...packet,
      id: isIpv6(packet) ? 0 : (packet.id + index) % 0x10000,
      sequence: packet.protocol === TCP ? (packet.sequence + index * gsoSize) % 2 ** 32 : 0,
      flags,
      payload: packet.payload.slice(index * gsoSize, (index + 1) * gsoSize),
    }
  })
}

/**
 * What a kernel makes of the bytes written to a TUN: the packets they stand for, checksums completed.
 * @throws Error when a kernel would refuse them
 */
export function writtenPackets(written: Uint8Array): NaivePacket[] {
  const view = new DataView(written.buffer, written.byteOffset, written.length)
  const [flags, gsoType] = [view.getUint8(0), view.getUint8(1)]
  const gsoSize = view.getUint16(4, true)
  const bytes = written.slice(10)
  const packet = parseNaive(bytes)
  if (flags === 0) {
    if (gsoType !== 0) throw new Error('a super-packet without NEEDS_CSUM')
    return [packet]
  }
  if (view.getUint16(6, true) !== headerLength(packet)) throw new Error('csum_start')
  if (view.getUint16(8, true) !== checksumOffset(packet)) throw new Error('csum_offset')
  if (!Buffer.from(naivePacket(packet, 'partial')).equals(bytes)) {
    throw new Error('lengths, header checksum or pseudo header sum are wrong')
  }
  if (gsoType === 0) return [packet]
  if (gsoType !== gsoTypeOf(packet)) throw new Error('gso_type')
  if (gsoSize === 0) throw new Error('gso_size')
  if (packet.protocol === UDP && packet.payload.length > 64 * gsoSize) throw new Error('too many')
  return naiveSegments(packet, gsoSize)
}
