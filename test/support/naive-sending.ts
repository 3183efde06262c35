import type { ForwardingTables, RemoteSubnet } from '../../src/datapath/tables.ts'
import { naiveSum } from './naive-packets.ts'
import { naiveFrame } from './naive-ports.ts'
import { segmentsOf } from './naive-delivery.ts'
import { type NaiveParts, naiveParts, naiveRoute } from './naive-rules.ts'

/**
 * What a host with these tables is to send for the bytes of a virtio header and packet: the frames; or
 * null for nothing; or the peer MTU that fragments of it must fit.
 */
export function naiveSend(
  bytes: Uint8Array,
  tables: ForwardingTables,
): { readonly frames: readonly Uint8Array[] } | { readonly fragmentsOf: number } | null {
  if (bytes.length <= 10) return null
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  const packet = bytes.slice(10)
  const parts = naiveParts(packet)
  const route = parts && naiveRoute(parts, tables)
  if (!parts || !route) return null
  const framed = (packets: readonly Uint8Array[]): { frames: Uint8Array[] } => ({
    frames: packets.map((inner) =>
      naiveFrame(inner, { vni: route.vni, to: route.vtepMac, from: tables.vtepMac }),
    ),
  })
  const mayFragment = parts.version === 4 && (packet[6]! & 0x40) === 0

  const gsoType = view.getUint8(1) & 0x7f
  if (gsoType !== 0)
    return sentSuper(packet, parts, gsoType, view.getUint16(4, true), route, framed)
  const needsChecksum = (view.getUint8(0) & 1) !== 0
  const whole = needsChecksum
    ? completed(packet, parts, view.getUint16(6, true), view.getUint16(8, true))
    : packet
  if (!whole) return null
  if (whole.length <= route.mtu) return framed([whole])
  return mayFragment ? { fragmentsOf: route.mtu } : null
}

function sentSuper(
  packet: Uint8Array,
  parts: NaiveParts,
  gsoType: number,
  gsoSize: number,
  route: RemoteSubnet,
  framed: (packets: readonly Uint8Array[]) => { frames: Uint8Array[] },
): ReturnType<typeof naiveSend> {
  const { transport, version, headerLength } = parts
  const types = { tcp: version === 4 ? 1 : 4, udp: 5 }
  if (!transport || gsoType !== types[transport.name] || gsoSize === 0) return null
  const headers = headerLength + transport.headerLength
  const payload = packet.length - headers
  if (payload === 0 || headers > 488) return null
  if (transport.name === 'tcp' && gsoSize < 8 && payload > gsoSize) return null
  const room = route.mtu - headers
  if (transport.name === 'tcp') {
    return room > 0 ? framed(segmentsOf(packet, Math.min(gsoSize, room))) : null
  }
  if (Math.min(gsoSize, payload) <= room) return framed(segmentsOf(packet, gsoSize))
  return version === 4 && (packet[6]! & 0x40) === 0 ? { fragmentsOf: route.mtu } : null
}

/** The packet with the checksum that its sender left to us; null if there is no place for it. */
function completed(
  packet: Uint8Array,
  parts: NaiveParts,
  start: number,
  offset: number,
): Uint8Array | null {
  if (start < parts.headerLength || start + offset + 2 > packet.length) return null
  const sum = naiveSum(packet.slice(start))
  const checksum = sum === 0xffff && offset === 6 ? 0xffff : 0xffff - sum
  return packet.with(start + offset, checksum >> 8).with(start + offset + 1, checksum & 255)
}
