import { GSO_NONE, gsoTypeOf, VNET_LENGTH } from '../packet/vnet-header.ts'
import type { ContainerPort } from './coalesce.ts'
import { COUNTER, type Counters } from './counters.ts'
import { EINVAL } from './errno.ts'
import type { Gather } from './gather.ts'
import { errno, libc } from './libc.ts'
import type { PacketMemory } from './packet-memory.ts'
import type { TunQueues } from './tun.ts'

/** struct iovec { void *base; size_t length } */
const IOVEC_LENGTH = 16

/** A worker's queues of the TUN: reads and writes of a virtio header and a packet. */
export class TunPort implements ContainerPort {
  readonly #memory: PacketMemory
  readonly #queues: TunQueues
  readonly #counters: Counters
  readonly #onRefusal: () => void
  /** Where the next read goes to. */
  readonly #iovec: number
  readonly #iovecPointer: bigint

  /** @param onRefusal told whenever the kernel refuses a super-packet, so that no more are written */
  constructor(memory: PacketMemory, queues: TunQueues, counters: Counters, onRefusal: () => void) {
    this.#memory = memory
    this.#queues = queues
    this.#counters = counters
    this.#onRefusal = onRefusal
    this.#iovec = memory.reserve(IOVEC_LENGTH)
    this.#iovecPointer = memory.pointerTo(this.#iovec)
  }

  /** @param queue index of one to be read. @returns bytes read, or -errno */
  read(queue: number, at: number, capacity: number): number {
    this.#memory.storeAddress(this.#iovec, at)
    this.#memory.words[(this.#iovec >>> 2) + 2] = capacity
    const length = libc.readv(this.#queues.reads[queue]!, this.#iovecPointer, 1)
    if (length < 0) return -errno()
    this.#counters.add(COUNTER.tun_reads)
    this.#counters.add(COUNTER.tun_read_bytes, length - VNET_LENGTH)
    return length
  }

  write(pieces: Gather): void {
    const written = libc.writev(this.#queues.write, pieces.pointer, pieces.count)
    if (written >= 0) {
      this.#counters.add(COUNTER.tun_writes)
      this.#counters.add(COUNTER.tun_write_bytes, written - VNET_LENGTH)
      return
    }
    this.#counters.add(COUNTER.tun_write_errors)
    // Something about super-packets that the probe did not show; TCP sends what this one held again.
    if (errno() === EINVAL && this.#isSuper(pieces)) this.#onRefusal()
  }

  /** The virtio header says it. A super-packet may be of one piece, a plain answer is of three. */
  #isSuper(pieces: Gather): boolean {
    return gsoTypeOf(this.#memory.bytes, pieces.offsetOf(0)) !== GSO_NONE
  }
}
