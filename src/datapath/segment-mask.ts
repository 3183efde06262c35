import { HEADER_CHECKSUM, IDENTIFICATION, IPV4_LENGTH } from '../packet/ipv4.ts'
import { IPV6_LENGTH } from '../packet/ipv6.ts'
import { PSH, TCP_CHECKSUM, TCP_FLAGS, TCP_SEQUENCE } from '../packet/tcp.ts'
import { UDP_CHECKSUM } from '../packet/udp.ts'
import { ENCAPSULATION } from './encapsulate.ts'
import type { PacketMemory } from './packet-memory.ts'

/** VXLAN, Ethernet, IPv6 and the longest TCP header. */
const LONGEST = ENCAPSULATION + IPV6_LENGTH + 60

/**
 * Which bits of the headers are the same in all segments of one packet: all but IPv4's identification and
 * header checksum, TCP's sequence number and PSH, and the transport checksum.
 */
export class SegmentMask {
  /** Offset of the mask: a set bit is to be the same. */
  readonly at: number
  readonly #bytes: Uint8Array
  /** What it is of at present. */
  #isIpv4 = false
  #isTcp = false
  #transportLength = 0

  constructor(memory: PacketMemory) {
    this.#bytes = memory.bytes
    this.at = memory.reserve(LONGEST)
  }

  /** @param transportLength of the transport header; no IPv4 options or IPv6 extension headers */
  make(isIpv4: boolean, isTcp: boolean, transportLength: number): void {
    if (
      isIpv4 === this.#isIpv4 &&
      isTcp === this.#isTcp &&
      transportLength === this.#transportLength
    ) {
      return
    }
    this.#isIpv4 = isIpv4
    this.#isTcp = isTcp
    this.#transportLength = transportLength
    const bytes = this.#bytes
    const ip = this.at + ENCAPSULATION
    const transport = ip + (isIpv4 ? IPV4_LENGTH : IPV6_LENGTH)
    const end = transport + transportLength
    for (let at = this.at; at < end; at++) bytes[at] = 0xff
    if (isIpv4) {
      this.#except(ip + IDENTIFICATION, 2)
      this.#except(ip + HEADER_CHECKSUM, 2)
    }
    if (isTcp) {
      this.#except(transport + TCP_SEQUENCE, 4)
      bytes[transport + TCP_FLAGS] = ~PSH
    }
    this.#except(transport + (isTcp ? TCP_CHECKSUM : UDP_CHECKSUM), 2)
  }

  #except(at: number, length: number): void {
    for (let i = 0; i < length; i++) this.#bytes[at + i] = 0
  }
}
