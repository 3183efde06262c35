import assert from 'node:assert/strict'
import { closeSync, openSync } from 'node:fs'
import { test } from 'node:test'
import { type CounterName, Counters, totalOf } from '../../../src/datapath/counters.ts'
import { Gather } from '../../../src/datapath/gather.ts'
import { addressOf } from '../../../src/datapath/libc.ts'
import { PacketMemory } from '../../../src/datapath/packet-memory.ts'
import { TunPort } from '../../../src/datapath/tun-port.ts'
import {
  GSO_ECN,
  GSO_NONE,
  GSO_TCPV4,
  GSO_TCPV6,
  GSO_UDP,
  VNET_LENGTH,
  writePartialVnet,
} from '../../../src/packet/vnet-header.ts'

const PACKET = 100

/** A port whose queue is any file that may be written to. */
class Written implements Disposable {
  refusals = 0
  readonly #memory = new PacketMemory(65_536, addressOf)
  readonly #counters = new Counters()
  readonly #pieces = new Gather(this.#memory, 3)
  readonly #fd: number
  readonly #port: TunPort

  constructor(path: string) {
    this.#fd = openSync(path, 'r+')
    const queues = { reads: [], write: this.#fd }
    const onRefusal = (): void => void this.refusals++
    this.#port = new TunPort(this.#memory, queues, this.#counters, onRefusal)
  }

  /** A virtio header and a packet, in one piece or several. */
  write(gsoType: number, ...lengths: readonly number[]): void {
    this.#pieces.clear()
    for (const length of lengths) this.#pieces.add(this.#memory.reserve(length), length)
    writePartialVnet(this.#memory.bytes, this.#pieces.offsetOf(0), gsoType, 40, PACKET, 20, 16)
    this.#port.write(this.#pieces)
  }

  counted(): Partial<Record<CounterName, number>> {
    return Object.fromEntries(Object.entries(totalOf([this.#counters])).filter(([, n]) => n !== 0))
  }

  [Symbol.dispose](): void {
    closeSync(this.#fd)
  }
}

/** Its kernel side takes a number in digits and answers all else with EINVAL. */
const REFUSES = '/proc/self/oom_score_adj'

test('the owner is told of each super-packet that the kernel refuses, of however many pieces', () => {
  using port = new Written(REFUSES)
  const types = [GSO_TCPV4, GSO_TCPV4 | GSO_ECN, GSO_TCPV6, GSO_UDP]
  for (const [index, type] of types.entries()) {
    port.write(type, VNET_LENGTH, PACKET, PACKET)
    assert.equal(port.refusals, 2 * index + 1)
    // A peer on the same machine sent it uncut.
    port.write(type, VNET_LENGTH + PACKET)
    assert.equal(port.refusals, 2 * index + 2)
  }
  assert.deepEqual(port.counted(), { tun_write_errors: 8 })
})

test('a plain packet that is refused says nothing about super-packets', () => {
  using port = new Written(REFUSES)
  port.write(GSO_NONE, VNET_LENGTH + PACKET)
  // The answer to a packet that was too big quotes it where it lies.
  port.write(GSO_NONE, VNET_LENGTH, PACKET, PACKET)
  assert.equal(port.refusals, 0)
  assert.deepEqual(port.counted(), { tun_write_errors: 2 })
})

test('a super-packet that finds no room says nothing about super-packets', () => {
  using port = new Written('/dev/full') // ENOSPC
  port.write(GSO_TCPV4, VNET_LENGTH, PACKET, PACKET)
  assert.equal(port.refusals, 0)
  assert.deepEqual(port.counted(), { tun_write_errors: 1 })
})

test('what is written is counted without its virtio header', () => {
  using port = new Written('/dev/null')
  port.write(GSO_TCPV4, VNET_LENGTH, PACKET, PACKET)
  assert.deepEqual(port.counted(), { tun_writes: 1, tun_write_bytes: 2 * PACKET })
})
