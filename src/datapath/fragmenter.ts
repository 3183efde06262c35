import { load16, store16 } from '../packet/bytes.ts'
import {
  FRAGMENT,
  FRAGMENT_OFFSET,
  headerLengthOf,
  IPV4_LENGTH,
  MORE_FRAGMENTS,
  sealHeader,
  TOTAL_LENGTH,
} from '../packet/ipv4.ts'
import { ENCAPSULATION } from './encapsulate.ts'
import type { FrameSink } from './outbox.ts'
import type { PacketMemory } from './packet-memory.ts'

/** VXLAN, Ethernet, the longest IPv4 header and a UDP header, in whole words: 22 + 60 + 8. */
const SLOT = 92
const SLOTS = 256

/** Options (RFC 791 section 3.1). */
const END_OF_OPTIONS = 0
const NO_OPERATION = 1
const COPIED = 0x80

/**
 * Cuts frames whose IPv4 packet is larger than the peer MTU and may be cut into fragments
 * (RFC 791 section 3.2), each a header of its own and pointers to where the rest lies. As in the
 * kernel (net/ipv4/ip_options.c ip_options_fragment) an option that only the first fragment carries
 * becomes padding in the others, so that all headers are of one length.
 */
export class Fragmenter implements FrameSink {
  /** Largest IP packet that the next frames may hold. */
  mtu = 0
  readonly #memory: PacketMemory
  readonly #outbox: FrameSink
  readonly #slots: number
  #nextSlot = 0

  constructor(memory: PacketMemory, outbox: FrameSink) {
    this.#memory = memory
    this.#outbox = outbox
    this.#slots = memory.reserve(SLOT * SLOTS)
  }

  /** Header slots may be used again once the outbox is flushed. */
  reset(): void {
    this.#nextSlot = 0
  }

  flush(): void {
    this.#outbox.flush()
    this.#nextSlot = 0
  }

  /** As Outbox.put(); a header that stands apart from its payload ends with the transport header. */
  put(
    hash: number,
    peer: number,
    tos: number,
    headerAt: number,
    headerLength: number,
    payloadAt: number,
    payloadLength: number,
  ): void {
    const { bytes } = this.#memory
    const ip = headerAt + ENCAPSULATION
    if (headerLength + payloadLength - ENCAPSULATION <= this.mtu) {
      this.#outbox.put(hash, peer, tos, headerAt, headerLength, payloadAt, payloadLength)
      return
    }
    const header = headerLengthOf(bytes, ip)
    const apart = payloadLength > 0
    // Of a frame in one piece everything after the IP header is payload.
    const lead = apart ? headerLength - ENCAPSULATION - header : 0
    const restAt = apart ? payloadAt : ip + header
    const rest = apart ? payloadLength : headerLength - ENCAPSULATION - header

    const field = load16(bytes, ip + FRAGMENT)
    const firstOffset = field & FRAGMENT_OFFSET
    const ownMore = field & MORE_FRAGMENTS
    const reserved = field & ~(MORE_FRAGMENTS | FRAGMENT_OFFSET)
    const step = (this.mtu - header) & ~7
    for (let done = 0; done < lead + rest; done += step) {
      const data = Math.min(step, lead + rest - done)
      const isLast = done + data === lead + rest
      // Only the first fragment begins with the transport header, which is shorter than any step.
      const ownLead = done === 0 ? lead : 0
      const slot = this.#copyHeaders(headerAt, ENCAPSULATION + header + ownLead)
      const slotIp = slot + ENCAPSULATION
      if (done > 0) keepCopiedOptions(bytes, slotIp, header)
      store16(bytes, slotIp + TOTAL_LENGTH, header + data)
      const more = isLast ? ownMore : MORE_FRAGMENTS
      store16(bytes, slotIp + FRAGMENT, reserved | more | (firstOffset + done / 8))
      sealHeader(bytes, slotIp, header)
      this.#outbox.put(
        hash,
        peer,
        tos,
        slot,
        ENCAPSULATION + header + ownLead,
        restAt + done - (lead - ownLead),
        data - ownLead,
      )
    }
  }

  putEach(
    hash: number,
    peer: number,
    tos: number,
    headersAt: number,
    headerLength: number,
    stride: number,
    payloadAt: number,
    payloadLength: number,
    size: number,
  ): void {
    for (let done = 0, headerAt = headersAt; done < payloadLength; headerAt += stride) {
      const length = Math.min(size, payloadLength - done)
      this.put(hash, peer, tos, headerAt, headerLength, payloadAt + done, length)
      done += length
    }
  }

  #copyHeaders(at: number, length: number): number {
    if (this.#nextSlot === SLOTS) this.flush()
    const slot = this.#slots + this.#nextSlot++ * SLOT
    this.#memory.bytes.copyWithin(slot, at, at + length)
    return slot
  }
}

/** Overwrites the options that only the first fragment has. */
function keepCopiedOptions(bytes: Uint8Array, ip: number, header: number): void {
  let at = ip + IPV4_LENGTH
  const end = ip + header
  while (at < end) {
    const type = bytes[at]!
    if (type === END_OF_OPTIONS) return
    if (type === NO_OPERATION) {
      at++
      continue
    }
    const length = at + 1 < end ? bytes[at + 1]! : 0
    if (length < 2 || at + length > end) {
      bytes.fill(END_OF_OPTIONS, at, end)
      return
    }
    if ((type & COPIED) === 0) bytes.fill(NO_OPERATION, at, at + length)
    at += length
  }
}
