/**
 * The Internet checksum (RFC 1071): the ones' complement of the ones' complement sum of 16-bit words
 * in network order. Sums are kept apart from their complement, since sums can be added to each other.
 *
 * In that arithmetic 0x0000 and 0xffff are the same number; fold() of a non-zero sum never gives 0.
 */

/** Adds the carries of a sum below 2^32 back in; the result fits 16 bits. */
export function fold(sum: number): number {
  let folded = sum
  while (folded > 0xffff) folded = (folded & 0xffff) + (folded >>> 16)
  return folded
}

/** The sum of bytes, folded. A last odd byte is the high half of a word. */
export function sumOf(bytes: Uint8Array, at: number, length: number): number {
  const end = at + (length & ~1)
  let sum = 0
  for (let i = at; i < end; i += 2) sum += (bytes[i]! << 8) | bytes[i + 1]!
  if (length & 1) sum += bytes[end]! << 8
  return fold(sum)
}

/** What goes into a checksum field whose covered words add up to `sum`. */
export function checksumOf(sum: number): number {
  return ~fold(sum) & 0xffff
}

/** RFC 768, RFC 9293 section 3.1: the words of IPv4's pseudo header, folded but not complemented. */
export function pseudoHeaderSum(
  source: number,
  destination: number,
  protocol: number,
  transportLength: number,
): number {
  return fold(
    (source >>> 16) +
      (source & 0xffff) +
      (destination >>> 16) +
      (destination & 0xffff) +
      protocol +
      transportLength,
  )
}

/** RFC 8200 section 8.1: the same of IPv6, whose two addresses stand next to each other in the header. */
export function pseudoHeaderSum6(
  bytes: Uint8Array,
  addressesAt: number,
  protocol: number,
  transportLength: number,
): number {
  return fold(sumOf(bytes, addressesAt, 32) + protocol + transportLength)
}
