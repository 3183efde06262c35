import assert from 'node:assert/strict'
import type { CounterName } from '../../src/datapath/counters.ts'
import { HEADROOM } from '../../src/datapath/forwarder.ts'
import { PacketMemory } from '../../src/datapath/packet-memory.ts'
import type { ForwardingTables } from '../../src/datapath/tables.ts'
import type { Ipv4 } from '../../src/net/ipv4.ts'
import type { Ipv6 } from '../../src/net/ipv6.ts'
import { joined } from './naive-packets.ts'
import { MemoryForwarder } from './naive-ports.ts'

const GUARD = 64
const INTACT = new Uint8Array(GUARD).fill(0xa5)

/** Packet memory in which every region that is set aside ends in bytes that nobody may touch. */
class GuardedMemory extends PacketMemory {
  readonly #guards: number[] = []

  override reserve(length: number): number {
    const at = super.reserve(length + GUARD)
    this.bytes.set(INTACT, at + length)
    this.#guards.push(at + length)
    return at
  }

  assertIntact(): void {
    for (const at of this.#guards) {
      if (Buffer.compare(this.bytes.subarray(at, at + GUARD), INTACT) !== 0) {
        assert.fail(`written past the end of the region that ends at ${at}`)
      }
    }
  }
}

/** What came of a packet. */
export interface Outcome {
  readonly frames: readonly Uint8Array[]
  readonly written: readonly Uint8Array[]
  readonly counted: Partial<Record<CounterName, number>>
}

/** Where in memory a packet is put. */
export interface Place {
  readonly odd: number
  /** Its last byte is the memory's. */
  readonly atEnd: boolean
}

const AROUND = 2048

/** Two backgrounds that differ in every byte. */
const BACKGROUND = Uint8Array.from(
  { length: AROUND },
  (_, index) => Math.imul(index + 1, 2654435761) >>> 24,
)
const OPPOSITE = BACKGROUND.map((byte) => byte ^ 0xff)

/**
 * A forwarder that gets every packet twice, in front of two backgrounds. Whoever writes outside the
 * packet changes the background; whoever reads there sees another each time, and decides otherwise.
 */
export class GuardedForwarder {
  readonly #memory = new GuardedMemory(4 * 1024 * 1024)
  readonly #host: MemoryForwarder
  readonly #arena: number
  #clock = 0
  #counted: Outcome['counted'] = {}

  constructor(tables: ForwardingTables) {
    this.#host = new MemoryForwarder(tables, { memory: this.#memory, now: () => this.#clock })
    this.#arena = this.#memory.reserve(256 * 1024)
  }

  /** A virtio header and packet from the TUN. */
  fromContainers(bytes: Uint8Array, place: Place): Outcome {
    return this.#twice(bytes, place, HEADROOM, (at) => {
      this.#host.forwarder.fromContainers(at, bytes.length)
    })
  }

  fromUnderlay(
    bytes: Uint8Array,
    place: Place,
    from: { readonly source: Ipv4 | Ipv6; readonly tos: number; readonly groSize: number },
  ): Outcome {
    const peer = this.#host.peerOf(from.source)
    return this.#twice(bytes, place, 0, (at) => {
      this.#host.forwarder.fromUnderlay(at, bytes.length, from.groSize, peer, from.tos)
    })
  }

  #twice(bytes: Uint8Array, place: Place, headroom: number, take: (at: number) => void): Outcome {
    const first = this.#once(bytes, place, headroom, take, BACKGROUND)
    const second = this.#once(bytes, place, headroom, take, OPPOSITE)
    assert.deepEqual(second.counted, first.counted, 'decided by bytes outside the packet')
    for (const side of ['frames', 'written'] as const) {
      const [a, b] = [first, second].map((outcome) => Buffer.from(joined(...outcome[side])))
      assert.ok(a!.equals(b!), 'bytes from outside the packet were passed on')
    }
    return first
  }

  #once(
    bytes: Uint8Array,
    { odd, atEnd }: Place,
    headroom: number,
    take: (at: number) => void,
    background: Uint8Array,
  ): Outcome {
    const memory = this.#memory.bytes
    const at = atEnd ? memory.length - bytes.length : this.#arena + AROUND + headroom + odd
    const end = at + bytes.length
    const after = Math.min(AROUND, memory.length - end)
    const begin = at - headroom - AROUND
    memory.set(background, begin)
    memory.fill(0, begin + AROUND, at)
    memory.set(bytes, at)
    memory.set(background.subarray(0, after), end)

    this.#clock += 3_600_000 // no answer is held back because of the one before
    take(at)
    this.#host.flush()
    assert.ok(Buffer.compare(memory.subarray(begin, begin + AROUND), background) === 0, 'before')
    assert.ok(
      Buffer.compare(memory.subarray(end, end + after), background.subarray(0, after)) === 0,
      'written past the end of the packet',
    )
    this.#memory.assertIntact()

    const frames = this.#host.frames()
    const written = this.#host.written.splice(0)
    this.#host.sent.length = 0
    const before = this.#counted
    this.#counted = this.#host.counted()
    const counted: Partial<Record<CounterName, number>> = {}
    for (const [name, value] of Object.entries(this.#counted) as [CounterName, number][]) {
      if (value !== (before[name] ?? 0)) counted[name] = value - (before[name] ?? 0)
    }
    return { frames, written, counted }
  }
}
