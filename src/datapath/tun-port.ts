import { VNET_LENGTH } from '../packet/vnet-header.ts'
import type { CoalesceOptions, ContainerPort } from './coalesce.ts'
import { COUNTER, type Counters } from './counters.ts'
import { EINVAL } from './errno.ts'
import type { Gather } from './gather.ts'
import { errno, libc } from './libc.ts'
import type { PacketMemory } from './packet-memory.ts'

/** One queue of the TUN: reads and writes of a virtio header and a packet. */
export class TunPort implements ContainerPort {
  readonly #memory: PacketMemory
  readonly #fd: number
  readonly #counters: Counters
  readonly #coalesce: CoalesceOptions

  constructor(memory: PacketMemory, fd: number, counters: Counters, coalesce: CoalesceOptions) {
    this.#memory = memory
    this.#fd = fd
    this.#counters = counters
    this.#coalesce = coalesce
  }

  /** @returns bytes read, or -errno */
  read(at: number, capacity: number): number {
    const length = libc.read(this.#fd, this.#memory.base + at, capacity)
    if (length < 0) return -errno()
    this.#counters.add(COUNTER.tun_reads)
    this.#counters.add(COUNTER.tun_read_bytes, length - VNET_LENGTH)
    return length
  }

  write(pieces: Gather): void {
    const written = libc.writev(this.#fd, this.#memory.base + pieces.entry(0), pieces.count)
    if (written >= 0) {
      this.#counters.add(COUNTER.tun_writes)
      this.#counters.add(COUNTER.tun_write_bytes, written - VNET_LENGTH)
      return
    }
    this.#counters.add(COUNTER.tun_write_errors)
    // Linux 6.1.103, 6.6.44 and 6.10.3 refuse valid super-packets; TCP sends what this one held again.
    if (errno() === EINVAL && pieces.count > 1) {
      this.#coalesce.tcp = false
      this.#coalesce.udp = false
    }
  }
}
