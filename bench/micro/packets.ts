import type { ForwardingTables } from '../../src/datapath/tables.ts'
import { type Cidr, parseCidr } from '../../src/net/cidr.ts'
import { type Cidr6, parseCidr6 } from '../../src/net/cidr6.ts'
import { parseIpv4 } from '../../src/net/ipv4.ts'
import { parseIpv6 } from '../../src/net/ipv6.ts'
import {
  joined,
  naivePacket,
  naiveSegments,
  PLAIN,
  PLAIN6,
  superPacket,
  TCP,
  UDP,
  withVnet,
  type NaivePacket,
} from '../../test/support/naive-packets.ts'
import { MAC_A, MAC_B, naiveFrame } from '../../test/support/naive-ports.ts'

/** The other host. All IPv4 addresses here are numbers of 32 bits, one more than V8's small integers have. */
export const FAR = parseIpv4('203.0.113.2')

const VNI = 7
const MTU = 1450
const LOCAL = ['198.18.1.0/24', 'fd00:18:1::/64'] as const
const REMOTE = ['198.18.2.0/24', 'fd00:18:2::/64'] as const

const cidrOf = (text: string): Cidr | Cidr6 =>
  text.includes(':') ? parseCidr6(text) : parseCidr(text)

/** A host and one other, with a subnet of IPv4 and of IPv6 each; what the other sends comes from FAR. */
export const TABLES: ForwardingTables = {
  vtepMac: MAC_B,
  local: LOCAL.map((text) => ({ subnet: cidrOf(text), vni: VNI })),
  remote: REMOTE.map((text) => ({
    subnet: cidrOf(text),
    vni: VNI,
    publicIp: FAR,
    vtepMac: MAC_A,
    mtu: MTU,
  })),
}

type Version = 4 | 6

/** A packet from a container here to one there. */
export function outgoing(version: Version, fields: Partial<NaivePacket>): NaivePacket {
  return version === 4
    ? {
        ...PLAIN,
        source: parseIpv4('198.18.1.2'),
        destination: parseIpv4('198.18.2.2'),
        sequence: 0xfff0_0000,
        acknowledgment: 0xeeee_0000,
        ...fields,
      }
    : {
        ...PLAIN6,
        source: parseIpv6('fd00:18:1::2'),
        destination: parseIpv6('fd00:18:2::2'),
        sequence: 0xfff0_0000,
        ...fields,
      }
}

/** The other way. */
function incoming(version: Version, fields: Partial<NaivePacket>): NaivePacket {
  const there = outgoing(version, fields)
  return { ...there, source: there.destination, destination: there.source }
}

/** Two padding bytes and the timestamps that Linux sends (RFC 7323). */
const TIMESTAMPS = Uint8Array.from([1, 1, 8, 10, 1, 2, 3, 4, 5, 6, 7, 8])

const headersOf = (version: Version): number => (version === 4 ? 20 : 40) + 20 + TIMESTAMPS.length

const noise = (length: number): Uint8Array<ArrayBuffer> =>
  Uint8Array.from({ length }, (_, i) => (i * 31) ^ (i >>> 8))

/** A TCP super-packet of so many segments of the largest size, as the TUN gives it. */
export function tcpSuperPacket(version: Version, segments: number): Uint8Array<ArrayBuffer> {
  const size = MTU - headersOf(version)
  const packet = outgoing(version, {
    protocol: TCP,
    tcpOptions: TIMESTAMPS,
    payload: noise(size * segments),
  })
  return superPacket(packet, size)
}

/** The segments of one, as datagrams that the kernel joined; each frame is `frame` bytes long. */
export function joinedSegments(
  version: Version,
  segments: number,
): { readonly bytes: Uint8Array<ArrayBuffer>; readonly frame: number } {
  const size = MTU - headersOf(version)
  const packet = incoming(version, {
    protocol: TCP,
    tcpOptions: TIMESTAMPS,
    payload: noise(size * segments),
  })
  const frames = naiveSegments(packet, size).map((segment) => frameOf(version, segment))
  return { bytes: joined(...frames), frame: frames[0]!.length }
}

/** One UDP datagram, as the TUN gives it. */
export function smallPacket(version: Version): Uint8Array<ArrayBuffer> {
  return withVnet({}, naivePacket(outgoing(version, { protocol: UDP, payload: noise(64) })))
}

/** One UDP datagram, as the underlay gives it. */
export function smallFrame(version: Version): Uint8Array<ArrayBuffer> {
  return frameOf(version, incoming(version, { protocol: UDP, payload: noise(64) }))
}

function frameOf(version: Version, packet: NaivePacket): Uint8Array<ArrayBuffer> {
  return naiveFrame(naivePacket(packet), {
    vni: VNI,
    ...(version === 6 && { type: 0x86dd }),
  })
}
