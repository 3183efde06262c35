import assert from 'node:assert/strict'
import {
  joined,
  type NaivePacket,
  naivePacket,
  PLAIN,
  PLAIN6,
  UDP,
  writtenPackets,
} from './naive-packets.ts'
import { dualTablesOf, HOST_A, MemoryForwarder, naiveFrame } from './naive-ports.ts'

/** Payload of each packet, unless told: frames of whole words, as of bulk TCP. */
export const SIZE = 102
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

/**
 * How many writes it took, whether the packets come one by one or joined by the kernel. What was written
 * must stand for the packets, in their order.
 */
export function writesOf(base: NaivePacket, changes: readonly Partial<NaivePacket>[]): number {
  const packets = streamOf(base, changes)
  const bytes = packets.map((packet) => naivePacket(packet))
  const [oneByOne, asOne] = [received(bytes), receivedJoined(bytes)]
  const plain = (packet: NaivePacket): string =>
    Buffer.from(naivePacket({ ...packet, id: 0 })).toString('hex')
  for (const host of [oneByOne, asOne]) {
    assert.deepEqual(host.written.flatMap(writtenPackets).map(plain), packets.map(plain))
  }
  assert.equal(asOne.written.length, oneByOne.written.length, 'writes of packets that came joined')
  return oneByOne.written.length
}

/** Hands host B what the kernel makes of the packets with UDP_GRO, aligned as the worker has it. */
export function receivedJoined(packets: readonly Uint8Array[]): MemoryForwarder {
  const host = new MemoryForwarder(dualTablesOf('b'))
  for (const row of rowsOf(packets.map((bytes) => naiveFrame(bytes)))) {
    host.fromUnderlay(joined(...row), { source: HOST_A, odd: 2, groSize: row[0]!.length })
  }
  host.flush()
  return host
}

/** Frames in a row of one length, but for a shorter last one: what a kernel joins. */
export function rowsOf(frames: readonly Uint8Array[]): Uint8Array[][] {
  const rows: Uint8Array[][] = []
  for (const frame of frames) {
    const row = rows.at(-1)
    const isOpen = row && row.at(-1)!.length === row[0]!.length
    if (isOpen && frame.length <= row[0]!.length) row.push(frame)
    else rows.push([frame])
  }
  return rows
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
