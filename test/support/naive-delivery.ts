import assert from 'node:assert/strict'
import { naivePacket, naiveSegments, naiveSum, parseNaive } from './naive-packets.ts'
import { type NaiveParts, naiveParts, naivePseudoHeader } from './naive-rules.ts'

/**
 * The packets that a kernel makes of what was written to a TUN.
 * @throws AssertionError when a kernel would refuse it, or a receiver what the kernel makes of it
 */
export function kernelPackets(written: Uint8Array): Uint8Array[] {
  const view = new DataView(written.buffer, written.byteOffset, written.length)
  const [flags, gsoType] = [view.getUint8(0), view.getUint8(1)]
  const bytes = written.slice(10)
  const parts = naiveParts(bytes)
  assert.ok(parts, 'a packet that contradicts itself')
  if (parts.version === 4) {
    assert.equal(naiveSum(bytes.slice(0, parts.headerLength)), 0xffff, 'header checksum')
  }
  const { transport } = parts
  if (flags === 0) {
    assert.ok(written.slice(0, 10).every((byte) => byte === 0))
    if (transport) assert.ok(['valid', 'none'].includes(transport.checksum), transport.checksum)
    return [bytes]
  }
  assert.equal(flags, 1)
  assert.ok(transport, 'a partial checksum of neither TCP nor UDP')
  assert.equal(view.getUint16(6, true), parts.headerLength, 'csum_start')
  assert.equal(view.getUint16(8, true), transport.fieldAt - parts.headerLength, 'csum_offset')
  const present = bytes.length - parts.headerLength
  assert.equal(transport.covered, present)
  const pseudo = naivePseudoHeader(bytes, parts.version, parts.protocol, present)
  const field = (bytes[transport.fieldAt]! << 8) | bytes[transport.fieldAt + 1]!
  assert.equal(field, naiveSum(pseudo), 'pseudo header sum')
  if (gsoType === 0) return [bytes]

  const gsoSize = view.getUint16(4, true)
  assert.equal(gsoType, transport.name === 'udp' ? 5 : parts.version === 4 ? 1 : 4, 'gso_type')
  const payload = present - transport.headerLength
  assert.ok(gsoSize > 0 && payload > gsoSize, 'gso_size')
  assert.ok(transport.name === 'tcp' || payload <= 64 * gsoSize, 'too many datagrams')
  return segmentsOf(bytes, gsoSize)
}

/**
 * What is to be seen of a packet that may be delivered. An oversize TCP packet is cut at the peer MTU, several
 * datagrams in one by their size; if that cannot be, nothing is seen of them.
 */
export function deliveries(packet: Uint8Array, mtu: number, innerSize: number): Uint8Array[] {
  const parts = naiveParts(packet)
  const transport = parts?.transport
  if (!parts || !transport) return [packet]
  const headers = parts.headerLength + transport.headerLength
  const payload = packet.length - headers
  if (transport.name === 'tcp') {
    const size = mtu - headers
    return packet.length > mtu && size > 0 ? segmentsOf(packet, size) : [packet]
  }
  if (innerSize === 0 || payload <= innerSize) return [packet]
  const isWhole = transport.covered === packet.length - parts.headerLength
  return isWhole && payload <= 64 * innerSize ? segmentsOf(packet, innerSize) : []
}

export function segmentsOf(bytes: Uint8Array, size: number): Uint8Array[] {
  return naiveSegments(parseNaive(bytes), size).map((segment) => naivePacket(segment))
}

/** The packets of each flow in order, without what joining may renumber and what was judged before. */
export function byFlow(packets: readonly Uint8Array[]): Record<string, string[]> {
  const flows: Record<string, string[]> = {}
  for (const bytes of packets) {
    const parts = naiveParts(bytes)
    assert.ok(parts)
    const key = flowOf(bytes, parts)
    ;(flows[key] ??= []).push(comparable(bytes, parts))
  }
  return flows
}

function flowOf(bytes: Uint8Array, parts: NaiveParts): string {
  const { version, source, destination, protocol, transport, headerLength } = parts
  const ports = transport
    ? Buffer.from(bytes.slice(headerLength, headerLength + 4)).toString('hex')
    : ''
  return `${version} ${source} ${destination} ${transport ? protocol : ''} ${ports}`
}

function comparable(bytes: Uint8Array, { version, transport }: NaiveParts): string {
  const copy = Buffer.from(bytes)
  if (version === 4) {
    copy.fill(0, 4, 6)
    copy.fill(0, 10, 12)
  }
  if (transport && transport.checksum !== 'none') {
    copy.fill(0, transport.fieldAt, transport.fieldAt + 2)
  }
  return copy.toString('latin1')
}
