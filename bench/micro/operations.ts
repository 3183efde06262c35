import { buildSubnetMap } from '../../src/datapath/build-subnet-map.ts'
import { SubnetMap } from '../../src/datapath/subnet-map.ts'
import type { RemoteSubnet } from '../../src/datapath/tables.ts'
import { PacketMemory } from '../../src/datapath/packet-memory.ts'
import { ipv6Bytes } from '../../src/net/ipv6.ts'
import { packetSimd } from '../../src/packet/packet-simd.ts'
import { MAC_A, MAC_B } from '../../test/support/naive-ports.ts'
import type { Repeat } from './allocation.ts'
import { FAR, joinedSegments, smallFrame, smallPacket, TABLES, tcpSuperPacket } from './packets.ts'
import { Replay } from './replay.ts'

/** Something that the datapath does for every packet. */
export interface Operation {
  readonly what: string
  /** Of packets that it passes over; null where bytes do not matter. */
  readonly bytes: number | null
  readonly repeat: Repeat
  /** What the measuring itself does each time; its time is taken off. */
  readonly preparation: Repeat
}

const NOTHING: Repeat = () => {}

function sending(what: string, bytes: Uint8Array): Operation {
  const replay = new Replay(TABLES)
  const kept = replay.keep(bytes)
  return {
    what,
    bytes: bytes.length > 1500 ? bytes.length : null,
    repeat: (times) => {
      for (let i = 0; i < times; i++) replay.send(kept)
    },
    preparation: (times) => {
      for (let i = 0; i < times; i++) replay.restore(kept)
    },
  }
}

function receiving(what: string, bytes: Uint8Array, frame = bytes.length, groSize = 0): Operation {
  const replay = new Replay(TABLES)
  const kept = replay.keep(bytes, frame)
  return {
    what,
    bytes: groSize === 0 ? null : bytes.length,
    repeat: (times) => {
      for (let i = 0; i < times; i++) replay.receive(kept, groSize, FAR)
    },
    preparation: (times) => {
      for (let i = 0; i < times; i++) replay.restore(kept)
    },
  }
}

function joining(what: string, version: 4 | 6): Operation {
  const { bytes, frame } = joinedSegments(version, 44)
  return receiving(what, bytes, frame, frame)
}

function summing(length: number): Operation {
  const memory = new PacketMemory(2 * length + 4096)
  const at = memory.reserve(length)
  const { sum } = packetSimd(memory.wasm)
  let total = 0
  return {
    what: `sum ${length.toLocaleString('en')} bytes for a checksum`,
    bytes: length,
    repeat: (times) => {
      for (let i = 0; i < times; i++) total = (total + sum(at, length)) & 0xffff
    },
    preparation: NOTHING,
  }
}

/** So many addresses are looked up in turn. */
const ADDRESSES = 4096

/** In an order without order, the same in every run. */
function spread(count: number): Uint32Array {
  return Uint32Array.from({ length: ADDRESSES }, (_, i) => Math.imul(i + 1, 0x9e37_79b1) >>> 0).map(
    (hash) => hash % count,
  )
}

const peer = { vni: 7, publicIp: FAR, vtepMac: MAC_A, mtu: 1450 } as const
const mapOf = (remote: RemoteSubnet[]): SubnetMap =>
  new SubnetMap(buildSubnetMap({ vtepMac: MAC_B, local: [], remote }))

/** Subnets of /24 from 192.0.0.0 on. */
export function ipv4Subnets(count: number): RemoteSubnet[] {
  return Array.from({ length: count }, (_, i) => ({
    ...peer,
    subnet: { base: (0xc000_0000 + i * 256) >>> 0, length: 24 },
  }))
}

function lookingUp(subnets: number): Operation {
  const map = mapOf(ipv4Subnets(subnets))
  const addresses = spread(subnets).map((subnet) => 0xc000_0000 + subnet * 256 + 7)
  let found = 0
  return {
    what: `look up an IPv4 address among ${subnets.toLocaleString('en')} subnets`,
    bytes: null,
    repeat: (times) => {
      for (let i = 0; i < times; i++) found ^= map.lookup(addresses[i & (ADDRESSES - 1)]!)
    },
    preparation: NOTHING,
  }
}

function lookingUp6(subnets: number): Operation {
  const base = 0xfd00_0018_0000_0000_0000_0000_0000_0000n
  const prefix = (subnet: number): bigint => base + (BigInt(subnet) << 64n)
  const map = mapOf(
    Array.from({ length: subnets }, (_, i) => ({
      ...peer,
      subnet: { address: prefix(i), length: 64 },
    })),
  )
  const addresses = new Uint8Array(ADDRESSES * 16)
  spread(subnets).forEach((subnet, i) => addresses.set(ipv6Bytes(prefix(subnet) + 7n), i * 16))
  let found = 0
  return {
    what: `look up an IPv6 address among ${subnets.toLocaleString('en')} subnets`,
    bytes: null,
    repeat: (times) => {
      for (let i = 0; i < times; i++) found ^= map.lookup6(addresses, (i & (ADDRESSES - 1)) * 16)
    },
    preparation: NOTHING,
  }
}

/** All that happens to packets in a worker between its system calls. */
export const OPERATIONS: readonly Operation[] = [
  ...([4, 6] as const).flatMap((version) => [
    sending(`cut a TCP super-packet of 44 segments, IPv${version}`, tcpSuperPacket(version, 44)),
    joining(`join 44 TCP segments, IPv${version}`, version),
    sending(`send on a datagram of 64 bytes, IPv${version}`, smallPacket(version)),
    receiving(`take in a datagram of 64 bytes, IPv${version}`, smallFrame(version)),
  ]),
  ...[1400, 65_000].map(summing),
  ...[2, 10_000, 65_536].flatMap((subnets) => [lookingUp(subnets), lookingUp6(subnets)]),
]
