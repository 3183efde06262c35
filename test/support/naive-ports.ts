import type { ContainerPort } from '../../src/datapath/coalesce.ts'
import { type CounterName, Counters, totalOf } from '../../src/datapath/counters.ts'
import { ENCAPSULATION } from '../../src/datapath/encapsulate.ts'
import { Forwarder, type ForwarderParts } from '../../src/datapath/forwarder.ts'
import type { Gather } from '../../src/datapath/gather.ts'
import { MAX_DATAGRAM } from '../../src/datapath/limits.ts'
import type { SendBatch, UnderlayPort } from '../../src/datapath/outbox.ts'
import { PacketMemory } from '../../src/datapath/packet-memory.ts'
import { PathMtu } from '../../src/datapath/path-mtu.ts'
import { buildSubnetMap } from '../../src/datapath/build-subnet-map.ts'
import { SubnetMap } from '../../src/datapath/subnet-map.ts'
import type { ForwardingTables, LocalSubnet, RemoteSubnet } from '../../src/datapath/tables.ts'
import { type Cidr, parseCidr } from '../../src/net/cidr.ts'
import { parseCidr6 } from '../../src/net/cidr6.ts'
import { type Ipv4, parseIpv4 } from '../../src/net/ipv4.ts'
import type { Ipv6 } from '../../src/net/ipv6.ts'
import { macBytes } from '../../src/net/mac.ts'
import { packetSimd } from '../../src/packet/packet-simd.ts'
import { joined } from './naive-packets.ts'

/** A batch as the kernel would have been asked to send it. */
export interface Sent {
  readonly lane: number
  /** Outer address of the peer. */
  readonly destination: Ipv4 | Ipv6
  readonly tos: number
  readonly segmentSize: number
  readonly frames: readonly Uint8Array[]
}

/** A forwarder between two in-memory ports that remember everything. */
export class MemoryForwarder {
  readonly forwarder: Forwarder
  readonly sent: Sent[] = []
  readonly written: Uint8Array[] = []
  readonly #counters = new Counters()
  readonly #memory: PacketMemory
  readonly #arena: number
  readonly #paths: PathMtu
  #map: SubnetMap
  #used = 0

  /** By outer address: the MTU of the path, which refuses a batch of larger frames as a whole. */
  readonly pathMtus = new Map<Ipv4 | Ipv6, number>()
  /** What the kernel answers of a path if not that. */
  readonly wrongAnswers = new Map<Ipv4 | Ipv6, number>()

  constructor(
    tables: ForwardingTables,
    {
      coalesce = { tcp: true, udp: true },
      dscp = 0,
      now = () => 0,
      memory = new PacketMemory(4 * 1024 * 1024),
    }: Partial<Pick<ForwarderParts, 'coalesce' | 'dscp' | 'now' | 'memory'>> = {},
  ) {
    this.#memory = memory
    this.#map = new SubnetMap(buildSubnetMap(tables))
    const underlay: UnderlayPort = {
      maxDatagram: MAX_DATAGRAM,
      send: (batch) => this.#send(batch),
    }
    this.#paths = new PathMtu(this.#map, (address) => this.#answer(address), now)
    const containers: ContainerPort = {
      write: (pieces: Gather) => void this.written.push(pieces.copy()),
    }
    this.forwarder = new Forwarder(
      {
        memory: this.#memory,
        simd: packetSimd(this.#memory.wasm),
        counters: this.#counters,
        containers,
        underlay,
        paths: this.#paths,
        coalesce,
        dscp,
        now,
      },
      this.#map,
    )
    this.#arena = this.#memory.reserve(3 * 1024 * 1024)
  }

  /** Replaces the tables. */
  use(tables: ForwardingTables): void {
    const map = new SubnetMap(buildSubnetMap(tables))
    this.forwarder.use(map)
    this.#map = map
  }

  /** A virtio header and packet from the TUN; `odd` moves it to an odd address. */
  fromContainers(bytes: Uint8Array, odd = 0): void {
    this.forwarder.fromContainers(this.#store(bytes, odd), bytes.length)
  }

  /** One datagram, or several that the kernel joined. */
  fromUnderlay(
    bytes: Uint8Array,
    from: { source: Ipv4 | Ipv6; tos?: number; groSize?: number; odd?: number },
  ): void {
    const at = this.#store(bytes, from.odd ?? 0)
    const peer = this.peerOf(from.source)
    this.forwarder.fromUnderlay(at, bytes.length, from.groSize ?? 0, peer, from.tos ?? 0)
  }

  /** The number of the peer with that outer address. */
  peerOf(address: Ipv4 | Ipv6): number {
    return this.#map.peerWith(address)
  }

  flush(): void {
    this.forwarder.flushToUnderlay()
    this.forwarder.flushToContainers()
    this.#used = 0
  }

  /** Every frame sent, in order of sending. */
  frames(): Uint8Array[] {
    return this.sent.flatMap((batch) => batch.frames)
  }

  /** The counters that are not zero. */
  counted(): Partial<Record<CounterName, number>> {
    const all = totalOf([this.#counters])
    return Object.fromEntries(Object.entries(all).filter(([, value]) => value !== 0))
  }

  #answer(address: Ipv4 | Ipv6): number {
    return this.wrongAnswers.get(address) ?? this.pathMtus.get(address) ?? 0
  }

  #send(batch: SendBatch): void {
    const sent = sentOf(batch, this.#map)
    const overhead = (typeof sent.destination === 'bigint' ? 40 : 20) + 8
    const mtu = this.pathMtus.get(sent.destination) ?? Infinity
    if (sent.frames[0]!.length + overhead <= mtu) {
      this.sent.push(sent)
      return
    }
    this.#paths.onTooBig(batch.peer, batch.lengthOf(0) - ENCAPSULATION)
    for (const segment of sent.frames.keys()) batch.refuse(segment)
  }

  #store(bytes: Uint8Array, odd: number): number {
    const at = this.#arena + this.#used + 64 + odd
    this.#memory.bytes.set(bytes, at)
    this.#used += 128 + bytes.length
    return at
  }
}

function sentOf(batch: SendBatch, map: SubnetMap): Sent {
  return {
    lane: batch.lane,
    destination: map.addressOf(batch.peer),
    tos: batch.tos,
    segmentSize: batch.segmentSize,
    frames: Array.from({ length: batch.segments }, (_, segment) => {
      const frame = batch.pieces.copy(batch.firstPiece[segment], batch.firstPiece[segment + 1])
      if (frame.length !== batch.lengthOf(segment)) throw new Error('a frame of another length')
      return frame
    }),
  }
}

export const HOST_A = parseIpv4('10.9.9.1')
export const HOST_B = parseIpv4('10.9.9.2')
export const MAC_A = '02:00:00:00:00:0a'
export const MAC_B = '02:00:00:00:00:0b'

/** Tables in which everything is IPv4. */
export interface Ipv4Tables extends ForwardingTables {
  readonly local: readonly (LocalSubnet & { readonly subnet: Cidr })[]
  readonly remote: readonly (RemoteSubnet & { readonly subnet: Cidr; readonly publicIp: Ipv4 })[]
}

/**
 * Host A with 10.5.1.0/24 and host B with 10.5.2.0/24 in VNI 7; each has a second overlay, VNI 8, with
 * 10.6.1.0/24 and 10.6.2.0/24; A's 10.7.1.0/24 belongs to an overlay not known yet.
 */
export function tablesOf(host: 'a' | 'b', mtu = 1450): Ipv4Tables {
  const a = [
    { subnet: parseCidr('10.5.1.0/24'), vni: 7 },
    { subnet: parseCidr('10.6.1.0/24'), vni: 8 },
    { subnet: parseCidr('10.7.1.0/24'), vni: 0 },
  ]
  const b = [
    { subnet: parseCidr('10.5.2.0/24'), vni: 7 },
    { subnet: parseCidr('10.6.2.0/24'), vni: 8 },
  ]
  return host === 'a'
    ? {
        vtepMac: MAC_A,
        local: a,
        remote: b.map((local) => ({ ...local, publicIp: HOST_B, vtepMac: MAC_B, mtu })),
      }
    : {
        vtepMac: MAC_B,
        local: b,
        remote: a.map((local) => ({ ...local, publicIp: HOST_A, vtepMac: MAC_A, mtu })),
      }
}

/** The same with IPv6 beside: fd00:5:1::/64 and fd00:5:2::/64 in VNI 7, fd00:6:… in VNI 8. */
export function dualTablesOf(host: 'a' | 'b', mtu = 1450): ForwardingTables {
  const tables = tablesOf(host, mtu)
  const [own, other] = host === 'a' ? [1, 2] : [2, 1]
  const peer = tables.remote[0]!
  const subnets = (third: number): LocalSubnet[] => [
    { subnet: parseCidr6(`fd00:5:${third}::/64`), vni: 7 },
    { subnet: parseCidr6(`fd00:6:${third}::/64`), vni: 8 },
  ]
  return {
    ...tables,
    local: [...tables.local, ...subnets(own)],
    remote: [...tables.remote, ...subnets(other).map((subnet) => ({ ...peer, ...subnet }))],
  }
}

/** A VXLAN frame, from host A to host B unless told otherwise. */
export function naiveFrame(
  packet: Uint8Array,
  header: { vni?: number; to?: string; from?: string; type?: number; flags?: number } = {},
): Uint8Array<ArrayBuffer> {
  const vxlan = new DataView(new ArrayBuffer(8))
  vxlan.setUint8(0, header.flags ?? 0x08)
  vxlan.setUint32(4, (header.vni ?? 7) * 256)
  const type = new DataView(new ArrayBuffer(2))
  const isIpv6 = packet.length > 0 && packet[0]! >> 4 === 6
  type.setUint16(0, header.type ?? (isIpv6 ? 0x86dd : 0x0800))
  return joined(
    new Uint8Array(vxlan.buffer),
    macBytes(header.to ?? MAC_B),
    macBytes(header.from ?? MAC_A),
    new Uint8Array(type.buffer),
    packet,
  )
}
