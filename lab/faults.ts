/** What a bad network does to a share of the datagrams: 0 is none of them, 1 is all. */
export interface Faults {
  /** The same seed does the same to the same sequence of datagrams. */
  readonly seed: number
  readonly loss: number
  readonly duplicate: number
  /** Kept back for REORDER_MS, so that later ones overtake. */
  readonly reorder: number
  /** One bit of the payload is flipped, and the UDP checksum made right again. */
  readonly corrupt: number
  /** For all of them. */
  readonly delayMs: number
}

export const NO_FAULTS: Faults = {
  seed: 1,
  loss: 0,
  duplicate: 0,
  reorder: 0,
  corrupt: 0,
  delayMs: 0,
}

const REORDER_MS = 3

export interface Fate {
  /** How many arrive: none, one, or two. */
  readonly copies: number
  readonly delayMs: number
  readonly isLate: boolean
  readonly isCorrupt: boolean
}

/** Decides about datagrams one by one. */
export class FaultMaker {
  readonly #faults: Faults
  #state: number

  constructor(faults: Faults) {
    this.#faults = faults
    this.#state = faults.seed >>> 0
  }

  next(): Fate {
    const { loss, duplicate, reorder, corrupt, delayMs } = this.#faults
    // Always as many draws, so that one kind of fault does not move the others.
    const [isLost, isDoubled, isLate, isCorrupt] = [loss, duplicate, reorder, corrupt].map(
      (share) => this.#draw() < share,
    )
    return {
      copies: isLost ? 0 : isDoubled ? 2 : 1,
      delayMs: delayMs + (isLate ? REORDER_MS : 0),
      isLate: isLate === true && !isLost,
      isCorrupt: isCorrupt === true && !isLost,
    }
  }

  /** A whole number from 0 up to and without the limit. */
  below(limit: number): number {
    return Math.floor(this.#draw() * limit)
  }

  /** 0 to 1, by mulberry32 (Tommy Ettinger), whose state is one word. */
  #draw(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(this.#state ^ (this.#state >>> 15), this.#state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 0x1_0000_0000
  }
}

const ETHERNET = 14
const ETHERTYPE_IPV4 = 0x0800
const UDP = 17
const UDP_HEADER = 8
const UDP_CHECKSUM = 6

/** @returns where the UDP header of an Ethernet frame to a port begins, or -1 when it is another frame */
export function udpHeaderOf(frame: Buffer, port: number): number {
  if (frame.length < ETHERNET + 20 + UDP_HEADER) return -1
  if (frame.readUInt16BE(12) !== ETHERTYPE_IPV4 || frame[ETHERNET + 9] !== UDP) return -1
  const udp = ETHERNET + (frame[ETHERNET]! & 0x0f) * 4
  return frame.readUInt16BE(udp + 2) === port ? udp : -1
}

/**
 * Flips a bit of a datagram's payload and updates the checksum (RFC 1624, equation 3), as a broken
 * router does that computes it anew.
 * @param udp where the UDP header begins
 * @param bit of the payload
 */
export function flipBit(frame: Buffer, udp: number, bit: number): void {
  const at = udp + UDP_HEADER + (bit >>> 3)
  const word = at - ((at - udp) & 1)
  const wordAt = (): number => (frame[word]! << 8) | (frame[word + 1] ?? 0)
  const before = wordAt()
  frame[at]! ^= 1 << (bit & 7)
  const checksum = frame.readUInt16BE(udp + UDP_CHECKSUM)
  if (checksum === 0) return
  let sum = (~checksum & 0xffff) + (~before & 0xffff) + wordAt()
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16)
  frame.writeUInt16BE(~sum & 0xffff || 0xffff, udp + UDP_CHECKSUM)
}
