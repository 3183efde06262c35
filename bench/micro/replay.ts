import { buildSubnetMap } from '../../src/datapath/build-subnet-map.ts'
import { Counters } from '../../src/datapath/counters.ts'
import { ENCAPSULATION } from '../../src/datapath/encapsulate.ts'
import { Forwarder } from '../../src/datapath/forwarder.ts'
import { MAX_DATAGRAM } from '../../src/datapath/limits.ts'
import { PacketMemory } from '../../src/datapath/packet-memory.ts'
import { PathMtu } from '../../src/datapath/path-mtu.ts'
import { SubnetMap } from '../../src/datapath/subnet-map.ts'
import type { ForwardingTables } from '../../src/datapath/tables.ts'
import type { Ipv4 } from '../../src/net/ipv4.ts'
import { packetSimd } from '../../src/packet/packet-simd.ts'

/** Before every packet, as where the TUN is read to. */
const HEADROOM = 66
/** Virtio, VXLAN, Ethernet, the longest usual IP and TCP headers: what the forwarder writes to. */
const HEADERS = 144

/** Bytes that are handed to the forwarder again and again, just as they came the first time. */
export interface Replayed {
  readonly at: number
  readonly length: number
  /** As words: where headers begin, and what they hold, one after the other. */
  readonly headersAt: Int32Array
  readonly headers: Uint32Array
}

/** A forwarder between two ports that take everything and keep nothing. */
export class Replay {
  readonly forwarder: Forwarder
  readonly counters = new Counters()
  readonly map: SubnetMap
  readonly paths: PathMtu
  readonly #memory = new PacketMemory(2 * 1024 * 1024)

  /** @param pathMtu what the kernel says of any path when asked, 0 for nothing */
  constructor(tables: ForwardingTables, { now = () => performance.now(), pathMtu = 0 } = {}) {
    this.map = new SubnetMap(buildSubnetMap(tables))
    this.paths = new PathMtu(this.map, () => pathMtu, now)
    this.forwarder = new Forwarder(
      {
        memory: this.#memory,
        simd: packetSimd(this.#memory.wasm),
        counters: this.counters,
        containers: { write: () => {} },
        underlay: { maxDatagram: MAX_DATAGRAM, send: () => {} },
        paths: this.paths,
        coalesce: { tcp: true, udp: true },
        now,
      },
      this.map,
    )
  }

  /** @param frame length of each frame within, a multiple of four; the whole unless told */
  keep(bytes: Uint8Array, frame = bytes.length): Replayed {
    const at = this.#memory.reserve(HEADROOM + bytes.length + HEADERS) + HEADROOM
    this.#memory.bytes.set(bytes, at)
    const begins = Array.from({ length: Math.ceil(bytes.length / frame) }, (_, i) => at + i * frame)
    const headersAt = Int32Array.from(begins, (begin) => begin >>> 2)
    const headers = new Uint32Array(begins.length * (HEADERS / 4))
    headersAt.forEach((word, i) => {
      headers.set(this.#memory.words.subarray(word, word + HEADERS / 4), i * (HEADERS / 4))
    })
    return { at, length: bytes.length, headersAt, headers }
  }

  /** Undoes what the forwarder wrote over the headers. */
  restore({ headersAt, headers }: Replayed): void {
    const { words } = this.#memory
    for (let i = 0, from = 0; i < headersAt.length; i++) {
      const to = headersAt[i]!
      for (let word = 0; word < HEADERS / 4; word++) words[to + word] = headers[from++]!
    }
  }

  /** A virtio header and packet from the TUN, and out to the underlay. */
  send(replayed: Replayed): void {
    this.restore(replayed)
    this.forwarder.fromContainers(replayed.at, replayed.length)
    this.forwarder.flushToUnderlay()
  }

  /** A datagram from the underlay, or several joined, and out to the containers. */
  receive(replayed: Replayed, groSize: number, from: Ipv4): void {
    this.restore(replayed)
    const peer = this.map.peerOf(from)
    this.forwarder.fromUnderlay(replayed.at, replayed.length, groSize, peer, 0)
    this.forwarder.flushToContainers()
  }
}

/** Length of a frame that carries a packet of that length. */
export const frameLength = (packetLength: number): number => ENCAPSULATION + packetLength
