import {
  IPV4_LENGTH,
  PROTOCOL,
  PROTOCOL_TCP,
  PROTOCOL_UDP,
  sealHeader,
  SOURCE,
  TOTAL_LENGTH,
} from '../packet/ipv4.ts'
import { store16, store32 } from '../packet/bytes.ts'
import { IPV6_LENGTH, NEXT_HEADER, PAYLOAD_LENGTH } from '../packet/ipv6.ts'
import { TCP_CHECKSUM, TCP_DATA_OFFSET, TCP_LENGTH } from '../packet/tcp.ts'
import { UDP_CHECKSUM, UDP_LENGTH, UDP_TOTAL } from '../packet/udp.ts'
import {
  GSO_TCPV4,
  GSO_TCPV6,
  GSO_UDP,
  VNET_LENGTH,
  writePartialVnet,
} from '../packet/vnet-header.ts'
import type { CoalesceOptions } from './coalesce.ts'
import { EINVAL } from './errno.ts'
import { isAtLeast } from './kernel-release.ts'
import { errno, libc } from './libc.ts'
import type { PacketMemory } from './packet-memory.ts'

/**
 * Which super-packets the kernel behind a TUN takes, found out by writing one of each kind before any
 * packet of somebody is at stake (the idea is Tailscale's, probeTCPGRO in net/tstun/wrap_linux.go).
 * Linux 6.1.103, 6.6.44 and 6.10.3 refuse sound ones whose last segment is short (commit e269d79c7d35
 * "net: missing check virtio"), kernels before 6.2 all of UDP.
 *
 * The probes go nowhere: their hop limit is 0, and their addresses are such that the kernel drops them
 * before it looks for a route, whatever its settings: from the broadcast address to none (RFC 1122
 * section 3.2.1.3; ip_route_input_slow() in net/ipv4/route.c), and a loopback address that comes from a
 * device (RFC 4291 section 2.5.3; ip6_rcv_core() in net/ipv6/ip6_input.c). No other address of IPv4 does
 * it: 0.0.0.1 is an address like any other since Linux 5.3.
 */
const SEGMENT = 100
/** Payload of two segments, the last of which is short together with its headers. */
const PAYLOAD = 170

const BROADCAST = 0xffff_ffff

/**
 * The device is up when the product asks. One that is down answers EIO to what an up one would take, once
 * it has judged the headers; a kernel that looks at the device before them says EIO to everything. That
 * counts as taken, and the first EINVAL at run time ends the joining (tun-port.ts).
 * @param fd a queue of the device
 */
export function probeCoalescing(
  fd: number,
  scratch: PacketMemory,
  kernelRelease: string,
): CoalesceOptions {
  const at = scratch.reserve(VNET_LENGTH + IPV6_LENGTH + TCP_LENGTH + PAYLOAD)
  const isTaken = (length: number): boolean =>
    libc.write(fd, scratch.base + at, length) >= 0 || errno() !== EINVAL
  const { bytes } = scratch
  return {
    tcp:
      isTaken(writeProbe4(bytes, at, PROTOCOL_TCP)) &&
      isTaken(writeProbe6(bytes, at, PROTOCOL_TCP)),
    udp:
      passesUdpSuperPackets(kernelRelease) &&
      isTaken(writeProbe4(bytes, at, PROTOCOL_UDP)) &&
      isTaken(writeProbe6(bytes, at, PROTOCOL_UDP)),
  }
}

/** Up to Linux 6.8.4 a UDP super-packet was lost in a container's own VXLAN or Geneve device. */
export function passesUdpSuperPackets(kernelRelease: string): boolean {
  return isAtLeast(kernelRelease, 6, 8, 5)
}

/** @returns length of the virtio header and the packet */
function writeProbe4(bytes: Uint8Array, at: number, protocol: number): number {
  const packet = at + VNET_LENGTH
  bytes.fill(0, packet, packet + IPV4_LENGTH)
  const length = IPV4_LENGTH + writeTransport(bytes, packet + IPV4_LENGTH, protocol)
  bytes[packet] = 0x45
  store16(bytes, packet + TOTAL_LENGTH, length)
  bytes[packet + PROTOCOL] = protocol
  store32(bytes, packet + SOURCE, BROADCAST)
  sealHeader(bytes, packet, IPV4_LENGTH)
  writeVnet(bytes, at, protocol === PROTOCOL_TCP ? GSO_TCPV4 : GSO_UDP, IPV4_LENGTH)
  return VNET_LENGTH + length
}

function writeProbe6(bytes: Uint8Array, at: number, protocol: number): number {
  const packet = at + VNET_LENGTH
  bytes.fill(0, packet, packet + IPV6_LENGTH)
  const length = writeTransport(bytes, packet + IPV6_LENGTH, protocol)
  bytes[packet] = 0x60
  store16(bytes, packet + PAYLOAD_LENGTH, length)
  bytes[packet + NEXT_HEADER] = protocol
  // Both addresses are ::1.
  bytes[packet + 23] = 1
  bytes[packet + 39] = 1
  writeVnet(bytes, at, protocol === PROTOCOL_TCP ? GSO_TCPV6 : GSO_UDP, IPV6_LENGTH)
  return VNET_LENGTH + IPV6_LENGTH + length
}

/** A header of zeros, as far as the kernel allows, and the payload. @returns the length of both */
function writeTransport(bytes: Uint8Array, at: number, protocol: number): number {
  const length = (protocol === PROTOCOL_TCP ? TCP_LENGTH : UDP_LENGTH) + PAYLOAD
  bytes.fill(0, at, at + length)
  if (protocol === PROTOCOL_TCP) bytes[at + TCP_DATA_OFFSET] = (TCP_LENGTH / 4) << 4
  else store16(bytes, at + UDP_TOTAL, length)
  return length
}

function writeVnet(bytes: Uint8Array, at: number, gsoType: number, transport: number): void {
  const [length, checksum] =
    gsoType === GSO_UDP ? [UDP_LENGTH, UDP_CHECKSUM] : [TCP_LENGTH, TCP_CHECKSUM]
  writePartialVnet(bytes, at, gsoType, transport + length, SEGMENT, transport, checksum)
}
