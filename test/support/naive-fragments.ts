import { joined, naiveChecksum, naiveSum } from './naive-packets.ts'

const MORE = 0x2000
const OFFSET = 0x1fff

const viewOf = (bytes: Uint8Array): DataView =>
  new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
const headerOf = (bytes: Uint8Array): Uint8Array => bytes.slice(0, (bytes[0]! % 16) * 4)

/**
 * The IPv4 packet that fragments in order stand for (RFC 791 section 3.2); itself a fragment if they are
 * the parts of one.
 * @throws Error when they are not sound, leave a gap, or differ in what they must have in common
 */
export function reassembled(fragments: readonly Uint8Array[]): Uint8Array {
  const [first] = fragments
  if (first === undefined) throw new Error('there is no fragment')
  const begin = viewOf(first).getUint16(6) & OFFSET
  const parts: Uint8Array[] = []
  let end = begin * 8
  for (const [index, fragment] of fragments.entries()) {
    const header = headerOf(fragment)
    const view = viewOf(fragment)
    if (naiveSum(header) !== 0xffff) throw new Error('header checksum')
    if (view.getUint16(2) !== fragment.length) throw new Error('total length')
    if ((view.getUint16(6) & OFFSET) * 8 !== end) throw new Error('offset')
    const isLast = index === fragments.length - 1
    if (!isLast && (view.getUint16(6) & MORE) === 0) throw new Error('an end before the end')
    for (const at of [1, 4, 5, 8, 9, 12, 13, 14, 15, 16, 17, 18, 19]) {
      if (fragment[at] !== first[at]) throw new Error(`byte ${at} differs`)
    }
    const data = fragment.slice(header.length)
    if (!isLast && data.length % 8 !== 0) throw new Error('not a multiple of eight')
    parts.push(data)
    end += data.length
  }
  const lastField = viewOf(fragments.at(-1)!).getUint16(6)
  const header = headerOf(first)
  const view = viewOf(header)
  view.setUint16(2, header.length + end - begin * 8)
  view.setUint16(6, (lastField & ~OFFSET) | begin)
  view.setUint16(10, 0)
  view.setUint16(10, naiveChecksum(header))
  return joined(header, ...parts)
}

/** What the options of the first fragment are in the others: those without the copy bit are padding. */
export function optionsOfLaterFragments(options: Uint8Array): Uint8Array {
  const later = Uint8Array.from(options)
  for (let at = 0; at < options.length;) {
    const type = options[at]!
    if (type === 0) break
    const length = type === 1 ? 1 : options[at + 1]!
    if (type < 128) later.fill(1, at, at + length)
    at += length
  }
  return later
}
