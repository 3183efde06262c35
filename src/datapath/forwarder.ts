import { load16 } from '../packet/bytes.ts'
import { classify, InnerPacket, KIND_MALFORMED, KIND_TCP, KIND_UDP } from '../packet/classify.ts'
import { decapsulatedEcn, ECN_DROP, ECN_MASK, encapsulatedEcn } from '../packet/ecn.ts'
import {
  ETHERNET_LENGTH,
  ETHERTYPE_IPV4,
  ETHERTYPE_IPV6,
  etherType,
  isFrom,
  isTo,
} from '../packet/ethernet.ts'
import { flowHash } from '../packet/flow-hash.ts'
import {
  headerChecksumIsValid,
  IPV4_LENGTH,
  isMulticastOrBroadcast,
  isUnroutable,
  sealHeader,
  TOS,
  TOTAL_LENGTH,
} from '../packet/ipv4.ts'
import {
  checksumOffsetOf,
  checksumStartOf,
  GSO_NONE,
  GSO_TCPV4,
  GSO_UDP,
  gsoSizeOf,
  gsoTypeOf,
  needsChecksum,
  VNET_LENGTH,
} from '../packet/vnet-header.ts'
import { hasReservedBits, hasVni, VXLAN_LENGTH, vniOf } from '../packet/vxlan.ts'
import { type CoalesceOptions, Coalescer, type ContainerPort } from './coalesce.ts'
import { COUNTER, type Counters } from './counters.ts'
import { ENCAPSULATION, encapsulate } from './encapsulate.ts'
import { SEND_PORTS } from './limits.ts'
import { Outbox, type UnderlayPort } from './outbox.ts'
import type { PacketMemory } from './packet-memory.ts'
import { Splitter } from './split.ts'
import { NO_ENTRY, NO_PEER, type SubnetMap } from './subnet-map.ts'
import {
  CHECKSUM_BAD,
  CHECKSUM_PARTIAL,
  complete,
  type SumBytes,
  verify,
} from './transport-checksum.ts'

/** Not a counter: the packet goes on. */
const PASS = -1

/** Room that must be free before a packet read from the TUN: its own headers end where it begins. */
export const HEADROOM = ENCAPSULATION - VNET_LENGTH

export interface ForwarderParts {
  readonly memory: PacketMemory
  readonly sum: SumBytes
  readonly counters: Counters
  readonly containers: ContainerPort
  readonly underlay: UnderlayPort
  readonly coalesce: CoalesceOptions
}

/**
 * Decides about every packet, in both directions, and rewrites it for the other side. It knows no file
 * descriptor and allocates nothing; a packet is an offset and a length in packet memory.
 */
export class Forwarder {
  readonly #memory: PacketMemory
  readonly #sum: SumBytes
  readonly #counters: Counters
  readonly #outbox: Outbox
  readonly #splitter: Splitter
  readonly #coalescer: Coalescer
  readonly #packet = new InnerPacket()
  #map: SubnetMap
  /** Entries of the packet's addresses, once looked up. */
  #sourceEntry = NO_ENTRY
  #destinationEntry = NO_ENTRY

  constructor(parts: ForwarderParts, map: SubnetMap) {
    this.#memory = parts.memory
    this.#sum = parts.sum
    this.#counters = parts.counters
    this.#map = map
    this.#outbox = new Outbox(parts.memory, SEND_PORTS, parts.underlay)
    this.#splitter = new Splitter(parts.memory, parts.sum, this.#outbox)
    this.#coalescer = new Coalescer(parts.memory, parts.containers, parts.counters, parts.coalesce)
  }

  /** Replaces the tables from the next packet on; what is queued goes out by those it was queued by. */
  use(map: SubnetMap): void {
    this.flushToUnderlay()
    this.#map = map
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
    this.#splitter.reset()
  }

  /**
   * A datagram, or several of one size that the kernel joined (UDP_GRO), from the VXLAN port. The memory
   * stays in use until flushToContainers().
   * @param groSize what the kernel said of the size, 0 if nothing
   * @param peer whose address is the outer source, or NO_PEER
   */
  fromUnderlay(
    at: number,
    length: number,
    groSize: number,
    peer: number,
    outerTos: number,
  ): void {
    const whole = groSize === 0 || groSize >= length || this.#isOneFrame(at, length)
    const size = whole ? length : groSize
    for (let done = 0; done < length; done += size) {
      this.#counters.add(COUNTER.rx_frames)
      const frame = Math.min(size, length - done)
      const drop = this.#receive(at + done, frame, peer, outerTos, whole ? groSize : 0)
      this.#counters.add(drop === PASS ? COUNTER.rx_packets : drop)
    }
  }

  flushToContainers(): void {
    this.#coalescer.flush()
  }

  #sendOn(at: number, length: number): number {
    const { bytes } = this.#memory
    const packet = this.#packet
    if (length <= VNET_LENGTH) return COUNTER.tx_drop_malformed
    classify(bytes, at + VNET_LENGTH, length - VNET_LENGTH, packet)
    const refusal = this.#refusalFromContainers()
    if (refusal !== PASS) return refusal

    const entry = this.#destinationEntry
    const hash = flowHash(bytes, packet)
    const tos = encapsulatedEcn(bytes[packet.at + TOS]!)
    const gsoType = gsoTypeOf(bytes, at)
    if (gsoType !== GSO_NONE) return this.#sendSuper(gsoType, gsoSizeOf(bytes, at), hash, tos)

    if (packet.length > this.#map.mtu(entry)) return COUNTER.tx_drop_too_big
    if (
      needsChecksum(bytes, at) &&
      !complete(bytes, packet, checksumStartOf(bytes, at), checksumOffsetOf(bytes, at), this.#sum)
    ) {
      return COUNTER.tx_drop_malformed
    }
    const frame = packet.at - ENCAPSULATION
    encapsulate(bytes, frame, this.#map, entry, packet.version)
    const frameLength = ENCAPSULATION + packet.length
    this.#outbox.put(hash, this.#map.peer(entry), tos, frame, frameLength, 0, 0)
    return PASS
  }

  /** TCP may be cut smaller than the kernel asked for, a datagram is what it is. */
  #sendSuper(gsoType: number, gsoSize: number, hash: number, tos: number): number {
    const packet = this.#packet
    const isTcp = gsoType === GSO_TCPV4 && packet.kind === KIND_TCP
    const isUdp = gsoType === GSO_UDP && packet.kind === KIND_UDP
    if ((!isTcp && !isUdp) || gsoSize === 0 || packet.payloadLength === 0) {
      return COUNTER.tx_drop_malformed
    }
    const entry = this.#destinationEntry
    const headers = packet.headerLength + packet.transportHeaderLength
    const room = this.#map.mtu(entry) - headers
    if (room < 1 || (isUdp && Math.min(gsoSize, packet.payloadLength) > room)) {
      return COUNTER.tx_drop_too_big
    }
    const isCut = this.#splitter.split(
      packet,
      Math.min(gsoSize, room),
      this.#map,
      entry,
      hash,
      tos,
    )
    return isCut ? PASS : COUNTER.tx_drop_malformed
  }

  /** Isolation: a packet leaves only from a subnet of ours to another host's of the same overlay. */
  #refusalFromContainers(): number {
    const packet = this.#packet
    const map = this.#map
    if (packet.version === 6) return COUNTER.tx_drop_ipv6
    if (packet.kind === KIND_MALFORMED) return COUNTER.tx_drop_malformed
    if (isMulticastOrBroadcast(packet.destination)) return COUNTER.tx_drop_multicast

    const source = map.lookup(packet.source)
    if (source === NO_ENTRY || !map.isLocal(source)) return COUNTER.tx_drop_source
    const destination = map.lookup(packet.destination)
    if (destination === NO_ENTRY) return COUNTER.tx_drop_no_route
    const vni = map.vni(source)
    if (vni === 0) return COUNTER.tx_drop_overlay_unknown
    if (vni !== map.vni(destination)) return COUNTER.tx_drop_overlay_mismatch
    if (map.isLocal(destination)) return COUNTER.tx_drop_local
    this.#destinationEntry = destination
    return PASS
  }

  /**
   * The kernel may hand over the super-packet of another VXLAN device on this machine uncut, and then
   * reports the size of its inner segments. What the inner packet says of its length decides.
   */
  #isOneFrame(at: number, length: number): boolean {
    return (
      length >= ENCAPSULATION + IPV4_LENGTH &&
      load16(this.#memory.bytes, at + ENCAPSULATION + TOTAL_LENGTH) === length - ENCAPSULATION
    )
  }

  #receive(
    at: number,
    length: number,
    peer: number,
    outerTos: number,
    innerSize: number,
  ): number {
    const { bytes } = this.#memory
    const packet = this.#packet
    const refusal = this.#refusalFromUnderlay(at, length, peer)
    if (refusal !== PASS) return refusal

    const innerTos = bytes[packet.at + TOS]!
    const ecn = decapsulatedEcn(innerTos & ECN_MASK, outerTos & ECN_MASK)
    if (ecn === ECN_DROP) return COUNTER.rx_drop_ecn
    if (ecn !== (innerTos & ECN_MASK)) {
      bytes[packet.at + TOS] = (innerTos & ~ECN_MASK) | ecn
      sealHeader(bytes, packet.at, packet.headerLength)
    }

    const checksum = verify(bytes, packet, this.#sum)
    if (checksum === CHECKSUM_BAD) return COUNTER.rx_drop_checksum
    if (checksum === CHECKSUM_PARTIAL) this.#counters.add(COUNTER.rx_partial_checksums)
    this.#coalescer.put(packet, checksum, this.#cutSize(innerSize))
    return PASS
  }

  /** Payload size at which the kernel is to cut a packet that was not cut by its sender; 0 if none. */
  #cutSize(innerSize: number): number {
    const packet = this.#packet
    const mtu = this.#map.mtu(this.#sourceEntry)
    if (packet.length <= mtu) return 0
    if (packet.kind === KIND_UDP) return innerSize
    if (packet.kind !== KIND_TCP) return 0
    return Math.max(0, mtu - packet.headerLength - packet.transportHeaderLength)
  }

  /** Anti-spoofing: the map says which peer may send what to whom. */
  #refusalFromUnderlay(at: number, length: number, peer: number): number {
    const { bytes } = this.#memory
    const packet = this.#packet
    const map = this.#map
    if (peer === NO_PEER) return COUNTER.rx_drop_unknown_source
    if (length < ENCAPSULATION + IPV4_LENGTH) return COUNTER.rx_drop_short
    if (!hasVni(bytes, at)) return COUNTER.rx_drop_no_vni_flag
    if (hasReservedBits(bytes, at)) return COUNTER.rx_drop_reserved_bits
    const vni = vniOf(bytes, at)
    if (!map.knowsVni(vni)) return COUNTER.rx_drop_vni_unknown

    const ethernet = at + VXLAN_LENGTH
    const type = etherType(bytes, ethernet)
    if (type === ETHERTYPE_IPV6) return COUNTER.rx_drop_ipv6
    if (type !== ETHERTYPE_IPV4) return COUNTER.rx_drop_ethertype
    if (!isTo(bytes, ethernet, map.bytes, map.ownMacAt)) return COUNTER.rx_drop_mac_destination

    classify(bytes, ethernet + ETHERNET_LENGTH, length - ENCAPSULATION, packet)
    if (packet.kind === KIND_MALFORMED || packet.version !== 4) {
      return COUNTER.rx_drop_malformed
    }
    if (!headerChecksumIsValid(bytes, packet.at, packet.headerLength)) {
      return COUNTER.rx_drop_header_checksum
    }
    if (isUnroutable(packet.source) || isUnroutable(packet.destination)) {
      return COUNTER.rx_drop_invalid_address
    }

    const source = map.lookup(packet.source)
    if (source === NO_ENTRY || map.peer(source) !== peer) return COUNTER.rx_drop_source
    if (!isFrom(bytes, ethernet, map.bytes, map.macAt(source))) return COUNTER.rx_drop_mac_source
    const destination = map.lookup(packet.destination)
    if (destination === NO_ENTRY || !map.isLocal(destination)) return COUNTER.rx_drop_destination
    if (map.vni(source) !== vni || map.vni(destination) !== vni) {
      return COUNTER.rx_drop_vni_mismatch
    }
    this.#sourceEntry = source
    return PASS
  }
}
