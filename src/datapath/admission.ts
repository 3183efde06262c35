import { classify, type InnerPacket, KIND_MALFORMED } from '../packet/classify.ts'
import {
  ETHERNET_LENGTH,
  ETHERTYPE_IPV4,
  ETHERTYPE_IPV6,
  etherType,
  isFrom,
  isTo,
} from '../packet/ethernet.ts'
import {
  headerChecksumIsValid,
  IPV4_LENGTH,
  isMulticastOrBroadcast,
  isUnroutable,
} from '../packet/ipv4.ts'
import { isMulticast6, isUnroutable6 } from '../packet/ipv6.ts'
import { hasReservedBits, hasVni, VXLAN_LENGTH, vniOf } from '../packet/vxlan.ts'
import { COUNTER } from './counters.ts'
import { ENCAPSULATION } from './encapsulate.ts'
import { NO_ENTRY, NO_PEER, type SubnetMap } from './subnet-map.ts'

/** Not a counter: the packet goes on. */
export const PASS = -1

/**
 * Which packets may pass: isolation of what leaves, anti-spoofing of what arrives. Each check answers
 * PASS or the counter of the first rule that the packet breaks; the map says who owns which address.
 */
export class Admission {
  /** The packet in question, its parts found. */
  readonly packet: InnerPacket
  /** Map entries of its addresses, once it has passed. */
  source = NO_ENTRY
  destination = NO_ENTRY
  readonly #bytes: Uint8Array

  constructor(bytes: Uint8Array, packet: InnerPacket) {
    this.#bytes = bytes
    this.packet = packet
  }

  /** An IP packet leaves only from a subnet of ours to another host's of the same overlay. */
  fromContainers(at: number, length: number, map: SubnetMap): number {
    const bytes = this.#bytes
    const { packet } = this
    classify(bytes, at, length, packet)
    if (packet.kind === KIND_MALFORMED) return COUNTER.tx_drop_malformed
    if (
      packet.version === 4
        ? isMulticastOrBroadcast(packet.destination)
        : isMulticast6(bytes, packet.destinationAt)
    ) {
      return COUNTER.tx_drop_multicast
    }
    this.#lookUp(map)
    const { source, destination } = this
    if (source === NO_ENTRY || !map.isLocal(source)) return COUNTER.tx_drop_source
    if (destination === NO_ENTRY) return COUNTER.tx_drop_no_route
    const vni = map.vni(source)
    if (vni === 0) return COUNTER.tx_drop_overlay_unknown
    if (vni !== map.vni(destination)) return COUNTER.tx_drop_overlay_mismatch
    if (map.isLocal(destination)) return COUNTER.tx_drop_local
    return PASS
  }

  /** A VXLAN frame arrives only from the peer that has its inner source, and only for a subnet of ours. */
  fromUnderlay(at: number, length: number, peer: number, map: SubnetMap): number {
    const bytes = this.#bytes
    const { packet } = this
    if (peer === NO_PEER) return COUNTER.rx_drop_unknown_source
    if (length < ENCAPSULATION + IPV4_LENGTH) return COUNTER.rx_drop_short
    if (!hasVni(bytes, at)) return COUNTER.rx_drop_no_vni_flag
    if (hasReservedBits(bytes, at)) return COUNTER.rx_drop_reserved_bits
    const vni = vniOf(bytes, at)
    if (!map.knowsVni(vni)) return COUNTER.rx_drop_vni_unknown

    const ethernet = at + VXLAN_LENGTH
    const type = etherType(bytes, ethernet)
    if (type !== ETHERTYPE_IPV4 && type !== ETHERTYPE_IPV6) return COUNTER.rx_drop_ethertype
    if (!isTo(bytes, ethernet, map.bytes, map.ownMacAt)) return COUNTER.rx_drop_mac_destination

    classify(bytes, ethernet + ETHERNET_LENGTH, length - ENCAPSULATION, packet)
    if (packet.kind === KIND_MALFORMED) return COUNTER.rx_drop_malformed
    if ((packet.version === 6) !== (type === ETHERTYPE_IPV6)) return COUNTER.rx_drop_malformed
    if (packet.version === 4) {
      if (!headerChecksumIsValid(bytes, packet.at, packet.headerLength)) {
        return COUNTER.rx_drop_header_checksum
      }
      if (isUnroutable(packet.source) || isUnroutable(packet.destination)) {
        return COUNTER.rx_drop_invalid_address
      }
    } else if (
      isUnroutable6(bytes, packet.sourceAt) ||
      isUnroutable6(bytes, packet.destinationAt)
    ) {
      return COUNTER.rx_drop_invalid_address
    }

    this.#lookUp(map)
    const { source, destination } = this
    if (source === NO_ENTRY || map.peer(source) !== peer) return COUNTER.rx_drop_source
    if (!isFrom(bytes, ethernet, map.bytes, map.macAt(source))) return COUNTER.rx_drop_mac_source
    if (destination === NO_ENTRY || !map.isLocal(destination)) return COUNTER.rx_drop_destination
    if (map.vni(source) !== vni || map.vni(destination) !== vni) {
      return COUNTER.rx_drop_vni_mismatch
    }
    return PASS
  }

  #lookUp(map: SubnetMap): void {
    const { packet } = this
    if (packet.version === 4) {
      this.source = map.lookup(packet.source)
      this.destination = map.lookup(packet.destination)
    } else {
      this.source = map.lookup6(this.#bytes, packet.sourceAt)
      this.destination = map.lookup6(this.#bytes, packet.destinationAt)
    }
  }
}
