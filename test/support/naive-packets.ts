/**
 * Packets built and taken apart slowly, with a DataView and whole copies, straight from the RFCs' field
 * lists. It shares no code with src/, which it judges.
 */
export interface NaivePacket {
  readonly source: number
  readonly destination: number
  readonly protocol: number
  readonly tos: number
  readonly ttl: number
  readonly id: number
  /** The reserved bit, don't-fragment, more-fragments and the offset. */
  readonly fragment: number
  readonly ipOptions: Uint8Array
  readonly sourcePort: number
  readonly destinationPort: number
  readonly sequence: number
  readonly acknowledgment: number
  readonly flags: number
  readonly window: number
  readonly urgent: number
  readonly tcpOptions: Uint8Array
  readonly payload: Uint8Array
}

export const TCP = 6
export const UDP = 17

export const PLAIN: NaivePacket = {
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

function pseudoHeader(packet: NaivePacket, length: number): Uint8Array {
  const view = new DataView(new ArrayBuffer(12))
  view.setUint32(0, packet.source)
  view.setUint32(4, packet.destination)
  view.setUint8(9, packet.protocol)
  view.setUint16(10, length)
  return new Uint8Array(view.buffer)
}

function transportBytes(packet: NaivePacket): Uint8Array {
  if (packet.protocol === TCP) {
    const view = new DataView(new ArrayBuffer(20))
    view.setUint16(0, packet.sourcePort)
    view.setUint16(2, packet.destinationPort)
    view.setUint32(4, packet.sequence)
    view.setUint32(8, packet.acknowledgment)
    view.setUint8(12, ((20 + packet.tcpOptions.length) / 4) * 16)
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
  const view = new DataView(new ArrayBuffer(20))
  view.setUint8(0, 0x40 + (20 + packet.ipOptions.length) / 4)
  view.setUint8(1, packet.tos)
  view.setUint16(2, 20 + packet.ipOptions.length + transport.length)
  view.setUint16(4, packet.id)
  view.setUint16(6, packet.fragment)
  view.setUint8(8, packet.ttl)
  view.setUint8(9, packet.protocol)
  view.setUint32(12, packet.source)
  view.setUint32(16, packet.destination)
  const header = joined(new Uint8Array(view.buffer), packet.ipOptions)
  new DataView(header.buffer).setUint16(10, naiveChecksum(header))
  return joined(header, transport)
}

/** The fields of a TCP or UDP packet's bytes; checksums are for isSound(). */
export function parseNaive(bytes: Uint8Array): NaivePacket {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  const ipLength = (view.getUint8(0) % 16) * 4
  const protocol = view.getUint8(9)
  const isTcp = protocol === TCP
  const tcpLength = isTcp ? (view.getUint8(ipLength + 12) >> 4) * 4 : 8
  return {
    tos: view.getUint8(1),
    id: view.getUint16(4),
    fragment: view.getUint16(6),
    ttl: view.getUint8(8),
    protocol,
    source: view.getUint32(12),
    destination: view.getUint32(16),
    ipOptions: bytes.slice(20, ipLength),
    sourcePort: view.getUint16(ipLength),
    destinationPort: view.getUint16(ipLength + 2),
    sequence: isTcp ? view.getUint32(ipLength + 4) : 0,
    acknowledgment: isTcp ? view.getUint32(ipLength + 8) : 0,
    flags: isTcp ? view.getUint8(ipLength + 13) : 0,
    window: isTcp ? view.getUint16(ipLength + 14) : 0,
    urgent: isTcp ? view.getUint16(ipLength + 18) : 0,
    tcpOptions: isTcp ? bytes.slice(ipLength + 20, ipLength + tcpLength) : new Uint8Array(0),
    payload: bytes.slice(ipLength + tcpLength),
  }
}

/** Whether the bytes are exactly those of their own fields, both checksums and all lengths included. */
export function isSound(bytes: Uint8Array): boolean {
  return Buffer.from(naivePacket(parseNaive(bytes))).equals(bytes)
}

export interface NaiveVnet {
  readonly flags: number
  readonly gsoType: number
  readonly gsoSize: number
  readonly csumStart: number
  readonly csumOffset: number
}

/** struct virtio_net_hdr, and the packet after it. */
export function withVnet(vnet: Partial<NaiveVnet>, packet: Uint8Array): Uint8Array<ArrayBuffer> {
  const view = new DataView(new ArrayBuffer(10))
  view.setUint8(0, vnet.flags ?? 0)
  view.setUint8(1, vnet.gsoType ?? 0)
  view.setUint16(4, vnet.gsoSize ?? 0, true)
  view.setUint16(6, vnet.csumStart ?? 0, true)
  view.setUint16(8, vnet.csumOffset ?? 0, true)
  return joined(new Uint8Array(view.buffer), packet)
}

/** A super-packet as a kernel hands it to a TUN reader. */
export function superPacket(packet: NaivePacket, gsoSize: number): Uint8Array<ArrayBuffer> {
  return withVnet(
    {
      flags: 1,
      gsoType: packet.protocol === TCP ? 1 : 5,
      gsoSize,
      csumStart: 20 + packet.ipOptions.length,
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
      id: (packet.id + index) % 0x10000,
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
  if (view.getUint16(6, true) !== 20 + packet.ipOptions.length) throw new Error('csum_start')
  if (view.getUint16(8, true) !== checksumOffset(packet)) throw new Error('csum_offset')
  if (!Buffer.from(naivePacket(packet, 'partial')).equals(bytes)) {
    throw new Error('lengths, header checksum or pseudo header sum are wrong')
  }
  if (gsoType === 0) return [packet]
  if (gsoType !== (packet.protocol === TCP ? 1 : 5)) throw new Error('gso_type')
  if (gsoSize === 0) throw new Error('gso_size')
  if (packet.protocol === UDP && packet.payload.length > 64 * gsoSize) throw new Error('too many')
  return naiveSegments(packet, gsoSize)
}
