import { load16, store16, store32 } from '../packet/bytes.ts'
import { checksumOf } from '../packet/checksum.ts'
import { type InnerPacket, KIND_FRAGMENT } from '../packet/classify.ts'
import {
  FRAGMENTATION_NEEDED,
  ICMP_CHECKSUM,
  ICMP_CODE,
  ICMP_LENGTH,
  ICMP_MTU,
  ICMP_TYPE,
  ICMP_UNREACHABLE,
  ICMPV6_TOO_BIG,
  isIcmpv6Error,
  MAX_ICMP_ERROR,
  MAX_ICMPV6_ERROR,
  mayBeIcmpError,
} from '../packet/icmp.ts'
import {
  DESTINATION,
  DONT_FRAGMENT,
  FRAGMENT,
  FRAGMENT_OFFSET,
  IPV4_LENGTH,
  PROTOCOL,
  PROTOCOL_ICMP,
  sealHeader,
  SOURCE,
  TOS,
  TOTAL_LENGTH,
  TTL,
} from '../packet/ipv4.ts'
import {
  ADDRESS6_LENGTH,
  DESTINATION6,
  EXTENSION_UNIT,
  HOP_LIMIT,
  IPV6_LENGTH,
  isFirstPart,
  LEAST_MTU6,
  NEXT_HEADER,
  PAYLOAD_LENGTH,
  PROTOCOL_ICMPV6,
  SOURCE6,
} from '../packet/ipv6.ts'
import { VNET_LENGTH, writePlainVnet } from '../packet/vnet-header.ts'
import type { ContainerPort } from './coalesce.ts'
import { COUNTER, type Counters } from './counters.ts'
import { Gather } from './gather.ts'
import type { PacketMemory } from './packet-memory.ts'
import { RateLimit } from './rate-limit.ts'
import type { SumBytes } from './transport-checksum.ts'

const ADDRESS_LENGTH = 4

/** The least that a link of IPv4 must carry (RFC 791), below which no MTU can be asked for. */
export const LEAST_MTU = 68

/** What the kernel gives its own errors: precedence of internetwork control (RFC 1812 section 4.3.2.5). */
const ERROR_TOS = 0xc0
const ERROR_TTL = 64

/** Together the limits of a worker are about those of the kernel (icmp_msgs_per_sec: 1000, 50 at once). */
const LIMIT_SLOTS = 256
const LIMIT_INTERVAL_MS = 250
const LIMIT_BURST = 6

/**
 * Tells the sender of a packet that is larger than the peer MTU and may not be fragmented what fits:
 * "fragmentation needed", or "packet too big" over IPv6.
 *
 * The answer comes from the address that the packet was for, as from the kernel's own tunnels
 * (net/ipv4/ip_tunnel_core.c iptunnel_pmtud_build_icmp). An address of this host would be refused on
 * its way in from the TUN as a martian, and isolation lets a flow's two addresses pass in any case.
 */
export class TooBigAnswers {
  readonly #memory: PacketMemory
  readonly #sum: SumBytes
  readonly #counters: Counters
  readonly #port: ContainerPort
  readonly #now: () => number
  readonly #limit = new RateLimit(LIMIT_SLOTS, LIMIT_INTERVAL_MS, LIMIT_BURST)
  /** A virtio, an IP and an ICMP header; then what is quoted, where it lies: headers and payload. */
  readonly #pieces: Gather
  readonly #vnet: number

  /** @param now milliseconds of a clock that never goes back */
  constructor(
    memory: PacketMemory,
    sum: SumBytes,
    counters: Counters,
    port: ContainerPort,
    now: () => number,
  ) {
    this.#memory = memory
    this.#sum = sum
    this.#counters = counters
    this.#port = port
    this.#now = now
    this.#pieces = new Gather(memory, 3)
    this.#vnet = memory.reserve(VNET_LENGTH + IPV6_LENGTH + ICMP_LENGTH)
  }

  /**
   * Answers, unless no answer is due or this flow has had enough of them. The packet is known to come
   * from a local subnet and to go to a remote one, so that both addresses are unicast. Its payload may
   * lie apart from its headers.
   * @param hash of the packet's flow
   */
  answer(packet: InnerPacket, mtu: number, hash: number): void {
    const { bytes } = this.#memory
    if (packet.version === 4 ? !mayBeAnswered4(bytes, packet) : !mayBeAnswered6(bytes, packet))
      return
    if (!this.#limit.takes(hash, this.#now())) {
      this.#counters.add(COUNTER.tx_icmp_limited)
      return
    }
    this.#counters.add(COUNTER.tx_icmp_too_big)
    if (packet.version === 4) this.#write4(packet, mtu)
    else this.#write6(packet, mtu)
  }

  #write4(packet: InnerPacket, mtu: number): void {
    const { bytes } = this.#memory
    const ip = this.#vnet + VNET_LENGTH
    const icmp = ip + IPV4_LENGTH
    const quoted = Math.min(packet.length, MAX_ICMP_ERROR - IPV4_LENGTH - ICMP_LENGTH)
    bytes.fill(0, ip, icmp + ICMP_LENGTH)
    bytes[ip] = 0x45
    bytes[ip + TOS] = ERROR_TOS
    store16(bytes, ip + TOTAL_LENGTH, IPV4_LENGTH + ICMP_LENGTH + quoted)
    store16(bytes, ip + FRAGMENT, DONT_FRAGMENT)
    bytes[ip + TTL] = ERROR_TTL
    bytes[ip + PROTOCOL] = PROTOCOL_ICMP
    copy(bytes, packet.destinationAt, ip + SOURCE, ADDRESS_LENGTH)
    copy(bytes, packet.sourceAt, ip + DESTINATION, ADDRESS_LENGTH)
    sealHeader(bytes, ip, IPV4_LENGTH)

    bytes[icmp + ICMP_TYPE] = ICMP_UNREACHABLE
    bytes[icmp + ICMP_CODE] = FRAGMENTATION_NEEDED
    store32(bytes, icmp + ICMP_MTU, mtu)
    const sum = this.#sum(icmp, ICMP_LENGTH) + this.#sumQuoted(packet, quoted)
    store16(bytes, icmp + ICMP_CHECKSUM, checksumOf(sum))
    this.#write(packet, IPV4_LENGTH, quoted)
  }

  #write6(packet: InnerPacket, mtu: number): void {
    const { bytes } = this.#memory
    const ip = this.#vnet + VNET_LENGTH
    const icmp = ip + IPV6_LENGTH
    const quoted = Math.min(packet.length, MAX_ICMPV6_ERROR - IPV6_LENGTH - ICMP_LENGTH)
    const length = ICMP_LENGTH + quoted
    bytes.fill(0, ip, icmp + ICMP_LENGTH)
    bytes[ip] = 0x60
    store16(bytes, ip + PAYLOAD_LENGTH, length)
    bytes[ip + NEXT_HEADER] = PROTOCOL_ICMPV6
    bytes[ip + HOP_LIMIT] = ERROR_TTL
    copy(bytes, packet.destinationAt, ip + SOURCE6, ADDRESS6_LENGTH)
    copy(bytes, packet.sourceAt, ip + DESTINATION6, ADDRESS6_LENGTH)

    bytes[icmp + ICMP_TYPE] = ICMPV6_TOO_BIG
    store32(bytes, icmp + ICMP_MTU, Math.max(mtu, LEAST_MTU6))
    // Pseudo header (RFC 8200 section 8.1): both addresses, length and next header.
    const sum =
      this.#sum(ip + SOURCE6, 2 * ADDRESS6_LENGTH + ICMP_LENGTH) +
      length +
      PROTOCOL_ICMPV6 +
      this.#sumQuoted(packet, quoted)
    store16(bytes, icmp + ICMP_CHECKSUM, checksumOf(sum))
    this.#write(packet, IPV6_LENGTH, quoted)
  }

  /** Headers are of an even length, so that the payload's words follow theirs. */
  #sumQuoted(packet: InnerPacket, quoted: number): number {
    const headers = Math.min(quoted, headersOf(packet))
    return this.#sum(packet.at, headers) + this.#sum(packet.payloadAt, quoted - headers)
  }

  #write(packet: InnerPacket, headerLength: number, quoted: number): void {
    const headers = Math.min(quoted, headersOf(packet))
    writePlainVnet(this.#memory.bytes, this.#vnet)
    this.#pieces.clear()
    this.#pieces.add(this.#vnet, VNET_LENGTH + headerLength + ICMP_LENGTH)
    this.#pieces.add(packet.at, headers)
    this.#pieces.add(packet.payloadAt, quoted - headers)
    this.#port.write(this.#pieces)
  }
}

function headersOf(packet: InnerPacket): number {
  return packet.headerLength + packet.transportHeaderLength
}

/** RFC 1122 section 3.2.2: no error about an error, nor about a fragment other than the first. */
function mayBeAnswered4(bytes: Uint8Array, packet: InnerPacket): boolean {
  if ((load16(bytes, packet.at + FRAGMENT) & FRAGMENT_OFFSET) !== 0) return false
  if (packet.protocol !== PROTOCOL_ICMP) return true
  return packet.length > packet.headerLength && !mayBeIcmpError(bytes[packet.transportAt]!)
}

/**
 * RFC 4443 section 2.4 e: no error about an error. Fragments are answered, all of them: it is their
 * sender that made them too big. Where 1280 bytes do not fit, no answer would help.
 */
function mayBeAnswered6(bytes: Uint8Array, packet: InnerPacket): boolean {
  if (packet.length <= LEAST_MTU6) return false
  if (packet.protocol !== PROTOCOL_ICMPV6) return true
  if (packet.kind === KIND_FRAGMENT && !isFirstPart(bytes, packet.transportAt - EXTENSION_UNIT))
    return true
  return packet.length > packet.headerLength && !isIcmpv6Error(bytes[packet.transportAt]!)
}

function copy(bytes: Uint8Array, from: number, to: number, length: number): void {
  for (let i = 0; i < length; i++) bytes[to + i] = bytes[from + i]!
}
