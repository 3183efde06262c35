import { InnerPacket, KIND_TCP, KIND_UDP } from '../packet/classify.ts'
import { decapsulatedEcn, ECN_DROP, ECN_MASK, encapsulatedEcn, NOT_ECT } from '../packet/ecn.ts'
import { flowHash } from '../packet/flow-hash.ts'
import {
  IPV4_LENGTH,
  mayFragment,
  sealHeader,
  TOS,
  totalLengthOf,
  versionOf,
} from '../packet/ipv4.ts'
import { IPV6_LENGTH, payloadLengthOf, storeTrafficClass, trafficClassOf } from '../packet/ipv6.ts'
import type { PacketSimd } from '../packet/packet-simd.ts'
import {
  checksumOffsetOf,
  checksumStartOf,
  GSO_NONE,
  GSO_TCPV4,
  GSO_TCPV6,
  GSO_UDP,
  gsoSizeOf,
  gsoTypeOf,
  needsChecksum,
  VNET_LENGTH,
} from '../packet/vnet-header.ts'
import { Admission, PASS } from './admission.ts'
import { type CoalesceOptions, Coalescer, type ContainerPort } from './coalesce.ts'
import { COUNTER, type Counters } from './counters.ts'
import { ENCAPSULATION, encapsulate } from './encapsulate.ts'
import { Fragmenter } from './fragmenter.ts'
import { LEAST_TCP_SEGMENT, SEND_PORTS } from './limits.ts'
import { Outbox, type UnderlayPort } from './outbox.ts'
import type { PacketMemory } from './packet-memory.ts'
import type { PathMtu } from './path-mtu.ts'
import { RefusedFrames } from './refused-frames.ts'
import { Splitter } from './split.ts'
import type { SubnetMap } from './subnet-map.ts'
import { LEAST_MTU, TooBigAnswers } from './too-big.ts'
import {
  CHECKSUM_BAD,
  CHECKSUM_PARTIAL,
  complete,
  type SumBytes,
  verify,
} from './transport-checksum.ts'

/** Room that must be free before a packet read from the TUN: its own headers end where it begins. */
export const HEADROOM = ENCAPSULATION - VNET_LENGTH

const DSCP_SHIFT = 2
const WHOLE_FIELD = 0xff

export interface ForwarderParts {
  readonly memory: PacketMemory
  readonly simd: PacketSimd
  readonly counters: Counters
  readonly containers: ContainerPort
  readonly underlay: UnderlayPort
  readonly paths: PathMtu
  readonly coalesce: CoalesceOptions
  /** Of the outer header; 0 if not given. */
  readonly dscp?: number | 'inherit'
  /** Milliseconds of a clock that never goes back. */
  readonly now?: () => number
}

/**
 * Rewrites every packet that may pass for the other side, in both directions. It knows no file
 * descriptor and allocates nothing; a packet is an offset and a length in packet memory.
 */
export class Forwarder {
  readonly #memory: PacketMemory
  readonly #sum: SumBytes
  readonly #counters: Counters
  readonly #outbox: Outbox
  readonly #paths: PathMtu
  readonly #splitter: Splitter
  readonly #fragmenter: Fragmenter
  readonly #fragmentingSplitter: Splitter
  readonly #tooBig: TooBigAnswers
  readonly #refused: RefusedFrames
  readonly #coalescer: Coalescer
  readonly #packet = new InnerPacket()
  readonly #admission: Admission
  /** Outer type of service: the bits that are the inner's, and those that are always set. */
  readonly #inheritedTos: number
  readonly #fixedTos: number
  #map: SubnetMap

  constructor(parts: ForwarderParts, map: SubnetMap) {
    const { memory, simd, counters, containers, dscp = 0, now = () => performance.now() } = parts
    this.#memory = memory
    const { sum } = simd
    this.#sum = sum
    this.#paths = parts.paths
    this.#counters = counters
    this.#map = map
    this.#admission = new Admission(memory.bytes, this.#packet)
    this.#inheritedTos = dscp === 'inherit' ? WHOLE_FIELD & ~ECN_MASK : 0
    this.#fixedTos = dscp === 'inherit' ? 0 : dscp << DSCP_SHIFT
    this.#tooBig = new TooBigAnswers(memory, sum, counters, containers, now)
    this.#outbox = new Outbox(memory, SEND_PORTS, counters, parts.underlay, (batch, segment) =>
      this.#refused.take(batch, segment, this.#map),
    )
    this.#refused = new RefusedFrames(
      memory,
      simd,
      counters,
      parts.paths,
      this.#tooBig,
      this.#outbox,
    )
    this.#splitter = new Splitter(memory, simd, this.#outbox)
    this.#fragmenter = new Fragmenter(memory, this.#outbox)
    this.#fragmentingSplitter = new Splitter(memory, simd, this.#fragmenter)
    this.#coalescer = new Coalescer(memory, simd, containers, counters, parts.coalesce)
  }

  /** Replaces the tables from the next packet on; what is queued goes out by those it was queued by. */
  use(map: SubnetMap): void {
    this.flushToUnderlay()
    this.#map = map
    this.#paths.use(map)
  }

  /**
   * A virtio header and packet, as read from the TUN, with HEADROOM free bytes before. The memory stays
   * in use until flushToUnderlay().
   */
  fromContainers(at: number, length: number): void {
    this.#counters.add(COUNTER.tun_packets)
    const drop = this.#sendOn(at, length)
    this.#counters.add(drop === PASS ? COUNTER.tx_packets : drop)
  }

  flushToUnderlay(): void {
    this.#outbox.flush()
    this.#paths.tick()
    this.#splitter.reset()
    this.#fragmenter.reset()
    this.#fragmentingSplitter.reset()
  }

  /**
   * A datagram, or several of one size that the kernel joined (UDP_GRO), from the VXLAN port. The memory
   * stays in use until flushToContainers().
   * @param groSize what the kernel said of the size, 0 if nothing
   * @param peer whose address is the outer source, or NO_PEER
   */
  fromUnderlay(at: number, length: number, groSize: number, peer: number, outerTos: number): void {
    const whole = groSize === 0 || groSize >= length || this.#isOneFrame(at, length)
    const size = whole ? length : groSize
    for (let done = 0; done < length;) {
      const frame = Math.min(size, length - done)
      this.#counters.add(COUNTER.rx_frames)
      const drop = this.#receive(at + done, frame, peer, outerTos, whole ? groSize : 0)
      this.#counters.add(drop === PASS ? COUNTER.rx_packets : drop)
      done += frame
      if (drop !== PASS || length - done < size) continue
      // A mark that the packet does not have is looked at for each frame.
      const outer = outerTos & ECN_MASK
      if (outer !== NOT_ECT && outer !== (this.#innerTos() & ECN_MASK)) continue
      const left = Math.floor((length - done) / size)
      const followers = this.#coalescer.follow(at + done, size, left)
      this.#counters.add(COUNTER.rx_frames, followers)
      this.#counters.add(COUNTER.rx_packets, followers)
      done += followers * size
    }
  }

  flushToContainers(): void {
    this.#coalescer.flush()
  }

  #sendOn(at: number, length: number): number {
    const { bytes } = this.#memory
    const packet = this.#packet
    const map = this.#map
    if (length <= VNET_LENGTH) return COUNTER.tx_drop_malformed
    const refusal = this.#admission.fromContainers(at + VNET_LENGTH, length - VNET_LENGTH, map)
    if (refusal !== PASS) return refusal

    const entry = this.#admission.destination
    const hash = flowHash(bytes, packet)
    const innerTos = this.#innerTos()
    const tos = (innerTos & this.#inheritedTos) | this.#fixedTos | encapsulatedEcn(innerTos)
    const gsoType = gsoTypeOf(bytes, at)
    if (gsoType !== GSO_NONE) return this.#sendSuper(gsoType, gsoSizeOf(bytes, at), hash, tos)

    if (
      needsChecksum(bytes, at) &&
      !complete(bytes, packet, checksumStartOf(bytes, at), checksumOffsetOf(bytes, at), this.#sum)
    ) {
      return COUNTER.tx_drop_malformed
    }
    const mtu = this.#paths.mtuOf(entry)
    const fits = packet.length <= mtu
    if (!fits && !this.#mayFragment(mtu)) return this.#refuseTooBig(mtu, hash)
    const frame = packet.at - ENCAPSULATION
    encapsulate(bytes, frame, map, entry, packet.version)
    const sink = fits ? this.#outbox : this.#fragments(mtu)
    sink.put(hash, map.peer(entry), tos, frame, ENCAPSULATION + packet.length, 0, 0)
    return PASS
  }

  /**
   * TCP may be cut smaller than the kernel asked for, a datagram is what it is. TCP segments of less than
   * the kernel's own least come from a raw socket, to make tens of thousands of frames out of one packet.
   */
  #sendSuper(gsoType: number, gsoSize: number, hash: number, tos: number): number {
    const packet = this.#packet
    const gsoTcp = packet.version === 4 ? GSO_TCPV4 : GSO_TCPV6
    const isTcp = gsoType === gsoTcp && packet.kind === KIND_TCP
    const isUdp = gsoType === GSO_UDP && packet.kind === KIND_UDP
    if ((!isTcp && !isUdp) || gsoSize === 0 || packet.payloadLength === 0) {
      return COUNTER.tx_drop_malformed
    }
    if (isTcp && gsoSize < LEAST_TCP_SEGMENT && packet.payloadLength > gsoSize) {
      return COUNTER.tx_drop_malformed
    }
    const entry = this.#admission.destination
    const mtu = this.#paths.mtuOf(entry)
    const room = mtu - packet.headerLength - packet.transportHeaderLength
    const fits = isTcp ? room > 0 : Math.min(gsoSize, packet.payloadLength) <= room
    if (!fits && (isTcp || !this.#mayFragment(mtu))) return this.#refuseTooBig(mtu, hash)
    if (!fits) this.#fragments(mtu)
    const splitter = fits ? this.#splitter : this.#fragmentingSplitter
    const size = isTcp ? Math.min(gsoSize, room) : gsoSize
    const isCut = splitter.split(packet, size, this.#map, entry, hash, tos)
    return isCut ? PASS : COUNTER.tx_drop_malformed
  }

  /** Only routers of IPv4 fragment, and not what forbids it. */
  #mayFragment(mtu: number): boolean {
    const packet = this.#packet
    return packet.version === 4 && mtu >= LEAST_MTU && mayFragment(this.#memory.bytes, packet.at)
  }

  #fragments(mtu: number): Fragmenter {
    this.#counters.add(COUNTER.tx_fragmented)
    this.#fragmenter.mtu = mtu
    return this.#fragmenter
  }

  #refuseTooBig(mtu: number, hash: number): number {
    this.#tooBig.answer(this.#packet, mtu, hash)
    return COUNTER.tx_drop_too_big
  }

  /**
   * The kernel may hand over the super-packet of another VXLAN device on this machine uncut, and then
   * reports the size of its inner segments. What the inner packet says of its length decides.
   */
  #isOneFrame(at: number, length: number): boolean {
    if (length < ENCAPSULATION + IPV4_LENGTH) return false
    const { bytes } = this.#memory
    const ip = at + ENCAPSULATION
    const stated =
      versionOf(bytes, ip) === 6
        ? IPV6_LENGTH + payloadLengthOf(bytes, ip)
        : totalLengthOf(bytes, ip)
    return stated === length - ENCAPSULATION
  }

  #receive(at: number, length: number, peer: number, outerTos: number, innerSize: number): number {
    const packet = this.#packet
    const refusal = this.#admission.fromUnderlay(at, length, peer, this.#map)
    if (refusal !== PASS) return refusal
    if (!this.#mergeCongestion(outerTos & ECN_MASK)) return COUNTER.rx_drop_ecn

    const checksum = verify(this.#memory.bytes, packet, this.#sum)
    if (checksum === CHECKSUM_BAD) return COUNTER.rx_drop_checksum
    if (checksum === CHECKSUM_PARTIAL) this.#counters.add(COUNTER.rx_partial_checksums)
    const isTaken = this.#coalescer.put(packet, checksum, this.#cutSize(innerSize))
    return isTaken ? PASS : COUNTER.rx_drop_uncut
  }

  /** Type of service or traffic class. */
  #innerTos(): number {
    const { version, at } = this.#packet
    const { bytes } = this.#memory
    return version === 4 ? bytes[at + TOS]! : trafficClassOf(bytes, at)
  }

  /** RFC 6040 on the packet. @returns false for one that is to be dropped */
  #mergeCongestion(outer: number): boolean {
    const { bytes } = this.#memory
    const { at, version, headerLength } = this.#packet
    const tos = this.#innerTos()
    const inner = tos & ECN_MASK
    const ecn = decapsulatedEcn(inner, outer)
    if (ecn === ECN_DROP) return false
    if (inner === NOT_ECT && outer !== NOT_ECT) this.#counters.add(COUNTER.rx_odd_ecn)
    if (ecn === inner) return true
    const merged = (tos & ~ECN_MASK) | ecn
    if (version === 4) {
      bytes[at + TOS] = merged
      sealHeader(bytes, at, headerLength)
    } else {
      storeTrafficClass(bytes, at, merged)
    }
    return true
  }

  /** Payload size at which the kernel is to cut a packet that was not cut by its sender; 0 if none. */
  #cutSize(innerSize: number): number {
    const packet = this.#packet
    if (packet.kind === KIND_UDP) return innerSize
    const mtu = this.#map.mtu(this.#admission.source)
    if (packet.kind !== KIND_TCP || packet.length <= mtu) return 0
    return Math.max(0, mtu - packet.headerLength - packet.transportHeaderLength)
  }
}
