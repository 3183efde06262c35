import { store16 } from '../packet/bytes.ts'
import { type InnerPacket, KIND_TCP, KIND_UDP } from '../packet/classify.ts'
import type { PacketSimd } from '../packet/packet-simd.ts'
import {
  GSO_NONE,
  GSO_UDP,
  gsoTypeOfTcp,
  VNET_LENGTH,
  writePartialVnet,
  writePlainVnet,
} from '../packet/vnet-header.ts'
import { COUNTER, type Counters } from './counters.ts'
import { Gather } from './gather.ts'
import { MAX_SEGMENTS, OPEN_RUNS } from './limits.ts'
import type { PacketMemory } from './packet-memory.ts'
import { isCandidate, isWholeDatagram, Run } from './run.ts'
import { SegmentMask } from './segment-mask.ts'
import {
  CHECKSUM_PARTIAL,
  CHECKSUM_VALID,
  checksumFieldOf,
  pseudoSumOf,
} from './transport-checksum.ts'

/** What the forwarder needs of the containers' side. The TUN implements it, and tests. */
export interface ContainerPort {
  /** Writes one virtio header and packet now, or drops and counts; the pieces are reused afterwards. */
  write(pieces: Gather): void
}

/** What the kernel behind the TUN can take. */
export interface CoalesceOptions {
  /** Put TCP segments together. */
  tcp: boolean
  /** Put UDP datagrams together, and pass UDP super-packets on (Linux 6.2; sound from 6.8.5). */
  udp: boolean
}

/**
 * Puts verified segments back together on their way to the TUN. Packets of a flow are never reordered:
 * whatever cannot join the flow's run sends the run out first. Nothing is held beyond flush().
 */
export class Coalescer {
  readonly #memory: PacketMemory
  readonly #port: ContainerPort
  readonly #counters: Counters
  readonly #options: CoalesceOptions
  readonly #runs: readonly Run[]
  readonly #single: Gather
  /** The run that the last segment joined or began: the next is mostly of the same flow. */
  #latest: Run
  /** Runs that hold segments: mostly none or one, so that few are looked at. */
  #open = 0
  #oldest = 0

  constructor(
    memory: PacketMemory,
    simd: PacketSimd,
    port: ContainerPort,
    counters: Counters,
    options: CoalesceOptions,
  ) {
    this.#memory = memory
    this.#port = port
    this.#counters = counters
    this.#options = options
    const mask = new SegmentMask(memory)
    this.#runs = Array.from({ length: OPEN_RUNS }, () => new Run(memory, simd, mask))
    this.#latest = this.#runs[0]!
    this.#single = new Gather(memory, 1)
  }

  /**
   * Takes one packet; the ten bytes before it are free for its virtio header.
   * @param checksum verdict of verify(), not BAD
   * @param segmentPayload 0, or the payload size at which the kernel is to cut a super-packet
   * @returns false, and nothing is written, if these are datagrams in one that the kernel cannot cut: whole
   *   they would be another datagram than any that was sent
   */
  put(packet: InnerPacket, checksum: number, segmentPayload: number): boolean {
    if (packet.kind !== KIND_TCP && packet.kind !== KIND_UDP) {
      // A fragment, or what hides behind another header, may be of any flow between these addresses.
      this.#writeAllBetween(packet)
      writePlainVnet(this.#memory.bytes, packet.at - VNET_LENGTH)
      this.#writeSingle(packet)
      return true
    }
    const cut = segmentPayload > 0 && packet.payloadLength > segmentPayload
    if (cut && packet.kind === KIND_UDP && !this.#canCutUdp(packet, segmentPayload)) return false
    const run = this.#runOf(packet)
    const joins =
      this.#options.tcp &&
      checksum === CHECKSUM_VALID &&
      !cut &&
      isCandidate(this.#memory.bytes, packet, this.#options.udp)
    if (run !== null) {
      if (joins && run.takes(packet)) {
        run.append(packet)
        this.#latest = run
        return true
      }
      this.#write(run)
    }
    if (joins) {
      this.#latest = this.#freeRun()
      this.#latest.begin(packet)
      this.#open++
      return true
    }
    this.#writeVnet(packet, checksum, cut ? segmentPayload : 0)
    this.#writeSingle(packet)
    return true
  }

  /**
   * Takes frames that lie right behind the last one that was put, and are as long, as far as they plainly
   * are the next segments of the same packet. @returns how many; the next one wants a closer look
   */
  follow(frameAt: number, length: number, frames: number): number {
    return this.#latest.follow(frameAt, length, frames)
  }

  flush(): void {
    for (let i = 0; this.#open > 0; i++) this.#write(this.#runs[i]!)
  }

  #runOf(packet: InnerPacket): Run | null {
    if (this.#latest.isOf(packet)) return this.#latest
    for (let i = 0, left = this.#open; left > 0; i++) {
      const run = this.#runs[i]!
      if (run.isOf(packet)) return run
      if (run.segments > 0) left--
    }
    return null
  }

  #writeAllBetween(packet: InnerPacket): void {
    for (let i = 0, left = this.#open; left > 0; i++) {
      const run = this.#runs[i]!
      if (run.segments > 0) left--
      if (run.isBetween(packet)) this.#write(run)
    }
  }

  #freeRun(): Run {
    for (let i = 0; i < OPEN_RUNS; i++) {
      const run = this.#runs[i]!
      if (run.segments === 0) return run
    }
    const run = this.#runs[this.#oldest]!
    this.#oldest = (this.#oldest + 1) % OPEN_RUNS
    this.#write(run)
    return run
  }

  #write(run: Run): void {
    if (run.segments === 0) return
    run.finish()
    if (run.segments > 1) this.#counters.add(COUNTER.rx_coalesced, run.segments)
    this.#port.write(run.pieces)
    run.clear()
    this.#open--
  }

  #writeSingle(packet: InnerPacket): void {
    this.#single.clear()
    this.#single.add(packet.at - VNET_LENGTH, VNET_LENGTH + packet.length)
    this.#port.write(this.#single)
  }

  #writeVnet(packet: InnerPacket, checksum: number, segmentPayload: number): void {
    const { bytes } = this.#memory
    const vnet = packet.at - VNET_LENGTH
    const cut = segmentPayload > 0
    if (checksum !== CHECKSUM_PARTIAL && !cut) {
      writePlainVnet(bytes, vnet)
      return
    }
    const field = checksumFieldOf(packet)
    store16(bytes, packet.transportAt + field, pseudoSumOf(bytes, packet))
    writePartialVnet(
      bytes,
      vnet,
      !cut ? GSO_NONE : packet.kind === KIND_TCP ? gsoTypeOfTcp(packet.version) : GSO_UDP,
      packet.headerLength + packet.transportHeaderLength,
      segmentPayload,
      packet.headerLength,
      field,
    )
  }

  #canCutUdp(packet: InnerPacket, segmentPayload: number): boolean {
    return (
      this.#options.udp &&
      packet.payloadLength <= segmentPayload * MAX_SEGMENTS &&
      isWholeDatagram(this.#memory.bytes, packet)
    )
  }
}
