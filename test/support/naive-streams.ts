import assert from 'node:assert/strict'
import {
  type NaivePacket,
  naivePacket,
  PLAIN,
  PLAIN6,
  UDP,
  writtenPackets,
} from './naive-packets.ts'
import { dualTablesOf, HOST_A, MemoryForwarder, naiveFrame } from './naive-ports.ts'

/** Payload of each packet, unless told. */
export const SIZE = 100
export const timestamps = (value: number): Uint8Array =>
  Uint8Array.from([1, 1, 8, 10, 0, 0, 0, value, 0, 0, 0, 0])
export const filled = (length: number): Uint8Array => new Uint8Array(length).fill(7)

/** Hands host B the packets, one datagram each, in one turn. */
export function received(
  packets: readonly Uint8Array[],
  coalesce = { tcp: true, udp: true },
): MemoryForwarder {
  const host = new MemoryForwarder(dualTablesOf('b'), { coalesce })
  for (const bytes of packets) host.fromUnderlay(naiveFrame(bytes), { source: HOST_A })
  host.flush()
  return host
}

/** A TCP stream or a row of datagrams, of SIZE bytes each, and what is different in them. */
export function streamOf(
  base: NaivePacket,
  changes: readonly Partial<NaivePacket>[],
): NaivePacket[] {
  let { sequence } = base
  return changes.map((change) => {
    const packet = {
      ...base,
      ...(base.protocol === UDP ? {} : { tcpOptions: timestamps(1) }),
      payload: filled(SIZE),
      sequence: base.protocol === UDP ? 0 : sequence,
      ...change,
    }
    sequence = (packet.sequence + packet.payload.length) % 2 ** 32
    return packet
  })
}

/** How many writes it took. What was written must stand for the packets, in their order. */
export function writesOf(base: NaivePacket, changes: readonly Partial<NaivePacket>[]): number {
  const packets = streamOf(base, changes)
  const host = received(packets.map((packet) => naivePacket(packet)))
  const plain = (packet: NaivePacket): string =>
    Buffer.from(naivePacket({ ...packet, id: 0 })).toString('hex')
  assert.deepEqual(host.written.flatMap(writtenPackets).map(plain), packets.map(plain))
  return host.written.length
}

/** A TCP segment and a datagram of each IP version. */
export const VERSIONS = [PLAIN, PLAIN6].map((segment) => ({
  version: segment === PLAIN ? 'IPv4' : 'IPv6',
  segment,
  datagram: {
    ...segment,
    protocol: UDP,
    sequence: 0,
    acknowledgment: 0,
    flags: 0,
    window: 0,
  } satisfies NaivePacket,
}))
