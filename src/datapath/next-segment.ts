import { fold } from '../packet/checksum.ts'
import { ENCAPSULATION } from './encapsulate.ts'
import type { PacketMemory } from './packet-memory.ts'

/**
 * A frame's headers as 32-bit words, which begin at its third byte, so that the IP header is aligned:
 *
 *   | 2 bytes | VXLAN, Ethernet: 5 words | IPv4: 5 or IPv6: 10 words | TCP: 5 to 15 or UDP: 2 words |
 */
const UNALIGNED = 2
const ENCAPSULATION_WORDS = (ENCAPSULATION - UNALIGNED) / 4

// Of IPv4: identification and fragment field, then time to live, protocol and checksum.
const IPV4_WORDS = 5
const IPV6_WORDS = 10
const ID_WORD = 1
const CHECKSUM_WORD = 2

// Of TCP, after ports and sequence: acknowledgment; length, flags and window; checksum and urgent pointer.
const ACKNOWLEDGMENT_WORD = 2
const FLAGS_WORD = 3
const URGENT_WORD = 4
const OPTIONS_WORD = 5
const PSH_IN_WORD = 0x0800

// Of UDP: length and checksum.
const UDP_LENGTH_WORD = 1

/** Words are read as the machine has them, least significant byte first: this half stands first. */
const FIRST_HALF = 0xffff

/**
 * Whether a frame's headers equal those of the frame before it in all that does not differ between the
 * segments of one packet: everything but IPv4's identification, with a header checksum that fits, TCP's
 * sequence number and PSH, and the transport checksum. Whoever judged the one has judged the other, but
 * for sequence and transport checksum, which are the caller's to check.
 *
 * @param previous offset of a frame without IPv4 options or IPv6 extension headers
 * @param next offset of a frame of the same length
 * @param transportWords length of the transport header
 * @returns false also where a frame is not aligned for a comparison by words
 */
export function isNextSegment(
  { ints, bytes }: PacketMemory,
  previous: number,
  next: number,
  isIpv4: boolean,
  isTcp: boolean,
  transportWords: number,
): boolean {
  if ((previous & 3) !== UNALIGNED || (next & 3) !== UNALIGNED) return false
  if (bytes[previous] !== bytes[next] || bytes[previous + 1] !== bytes[next + 1]) return false
  let a = (previous + UNALIGNED) >>> 2
  let b = (next + UNALIGNED) >>> 2
  if (!isSame(ints, a, b, ENCAPSULATION_WORDS)) return false
  a += ENCAPSULATION_WORDS
  b += ENCAPSULATION_WORDS
  if (isIpv4 ? !isNextHeader4(ints, a, b) : !isSame(ints, a, b, IPV6_WORDS)) return false
  const ipWords = isIpv4 ? IPV4_WORDS : IPV6_WORDS
  a += ipWords
  b += ipWords
  return isTcp
    ? isNextHeaderTcp(ints, a, b, transportWords)
    : ints[a] === ints[b] && hasSameFirstHalf(ints, a, b, UDP_LENGTH_WORD)
}

function isNextHeader4(ints: Int32Array, a: number, b: number): boolean {
  const idA = ints[a + ID_WORD]!
  const idB = ints[b + ID_WORD]!
  const checksumA = ints[a + CHECKSUM_WORD]!
  const checksumB = ints[b + CHECKSUM_WORD]!
  return (
    ints[a] === ints[b] &&
    hasSameSecondHalf(ints, a, b, ID_WORD) &&
    hasSameFirstHalf(ints, a, b, CHECKSUM_WORD) &&
    ints[a + 3] === ints[b + 3] &&
    ints[a + 4] === ints[b + 4] &&
    // All else being equal, the header sums are if these are; the order of bytes does not matter.
    fold((idA & FIRST_HALF) + (checksumA >>> 16)) === fold((idB & FIRST_HALF) + (checksumB >>> 16))
  )
}

function isNextHeaderTcp(ints: Int32Array, a: number, b: number, length: number): boolean {
  return (
    ints[a] === ints[b] &&
    ints[a + ACKNOWLEDGMENT_WORD] === ints[b + ACKNOWLEDGMENT_WORD] &&
    ((ints[a + FLAGS_WORD]! ^ ints[b + FLAGS_WORD]!) & ~PSH_IN_WORD) === 0 &&
    hasSameSecondHalf(ints, a, b, URGENT_WORD) &&
    isSame(ints, a + OPTIONS_WORD, b + OPTIONS_WORD, length - OPTIONS_WORD)
  )
}

function isSame(ints: Int32Array, a: number, b: number, count: number): boolean {
  for (let i = 0; i < count; i++) if (ints[a + i] !== ints[b + i]) return false
  return true
}

function hasSameFirstHalf(ints: Int32Array, a: number, b: number, word: number): boolean {
  return ((ints[a + word]! ^ ints[b + word]!) & FIRST_HALF) === 0
}

function hasSameSecondHalf(ints: Int32Array, a: number, b: number, word: number): boolean {
  return (ints[a + word]! ^ ints[b + word]!) >>> 16 === 0
}
