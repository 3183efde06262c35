import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { COUNTER_NAMES } from '../../../src/datapath/counters.ts'
import {
  isSound,
  naivePacket,
  PLAIN,
  superPacket,
  TCP,
  UDP,
  writtenPackets,
} from '../../support/naive-packets.ts'
import { HOST_A, MemoryForwarder, naiveFrame, tablesOf } from '../../support/naive-ports.ts'

/** Changes to make to sound bytes: cut, lengthen, or overwrite at a place that is mostly a header's. */
const damage = fc.array(
  fc.oneof(
    { weight: 6, arbitrary: fc.record({ at: fc.nat(80), value: fc.nat(255) }) },
    { weight: 1, arbitrary: fc.record({ length: fc.nat(120) }) },
    { weight: 1, arbitrary: fc.record({ more: fc.integer({ min: 1, max: 60 }) }) },
  ),
  { minLength: 1, maxLength: 4 },
)

type Damage = { at: number; value: number } | { length: number } | { more: number }

function damaged(bytes: Uint8Array, changes: readonly Damage[]): Uint8Array {
  let result = Uint8Array.from(bytes)
  for (const change of changes) {
    if ('length' in change) result = result.slice(0, change.length)
    else if ('more' in change) {
      const longer = new Uint8Array(result.length + change.more).fill(0x45)
      longer.set(result)
      result = longer
    } else if (change.at < result.length) result[change.at] = change.value
  }
  return result
}

/** In = out + dropped, in both directions. */
function assertBalanced(host: MemoryForwarder): void {
  const counted = host.counted()
  const dropped = (direction: 'tx' | 'rx'): number =>
    COUNTER_NAMES.filter((name) => name.startsWith(`${direction}_drop_`)).reduce(
      (sum, name) => sum + (counted[name] ?? 0),
      0,
    )
  assert.equal(counted.tun_packets ?? 0, (counted.tx_packets ?? 0) + dropped('tx'))
  assert.equal(counted.rx_frames ?? 0, (counted.rx_packets ?? 0) + dropped('rx'))
}

/** Other protocols, fragments and UDP without a checksum carry nothing to judge them by. */
function assertJudgedSound(written: Uint8Array): void {
  const bytes = written.slice(10)
  const isFragment = (bytes[6]! & 0x3f) !== 0 || bytes[7] !== 0
  if ((bytes[9] !== TCP && bytes[9] !== UDP) || isFragment) return
  const header = (bytes[0]! & 15) * 4
  if (bytes[9] === UDP && bytes[header + 6] === 0 && bytes[header + 7] === 0) return
  writtenPackets(written) // throws unless lengths and partial checksum agree
  assert.ok(written[0] === 1 || isSound(bytes))
}

const payload = Uint8Array.from({ length: 3000 }, (_, index) => index)

test('damaged datagrams never throw, and what is delivered is sound and addressed to a local subnet', () => {
  const tcp = naiveFrame(naivePacket({ ...PLAIN, payload: payload.slice(0, 500) }))
  const udp = naiveFrame(naivePacket({ ...PLAIN, protocol: UDP, payload: payload.slice(0, 300) }))
  fc.assert(
    fc.property(
      fc.constantFrom(tcp, udp),
      damage,
      fc.option(fc.nat(700), { nil: 0 }),
      fc.nat(255),
      (frame, changes, groSize, tos) => {
        const host = new MemoryForwarder(tablesOf('b'))
        const bytes = damaged(frame, changes)
        host.fromUnderlay(bytes, { source: HOST_A, groSize, tos })
        host.fromUnderlay(frame, { source: HOST_A })
        host.flush()
        assertBalanced(host)
        for (const written of host.written) {
          const destination = new DataView(written.buffer).getUint32(10 + 16)
          assert.ok([0x0a0502, 0x0a0602].includes(destination >>> 8))
          assertJudgedSound(written)
        }
      },
    ),
    { numRuns: 3000 },
  )
})

test('pure noise is never delivered', () => {
  fc.assert(
    fc.property(
      fc.uint8Array({ maxLength: 200 }),
      fc.nat(300),
      fc.boolean(),
      (noise, groSize, known) => {
        const host = new MemoryForwarder(tablesOf('b'))
        host.fromUnderlay(noise, { source: known ? HOST_A : 1, groSize })
        host.fromContainers(noise)
        host.flush()
        assert.deepEqual([host.written, host.sent], [[], []])
        assertBalanced(host)
      },
    ),
    { numRuns: 2000 },
  )
})

test('damaged packets from the TUN never throw, and what is sent stays within one host’s rules', () => {
  fc.assert(
    fc.property(
      fc.constantFrom(
        superPacket({ ...PLAIN, payload }, 1000),
        superPacket({ ...PLAIN, protocol: UDP, payload }, 1000),
        superPacket({ ...PLAIN, tcpOptions: new Uint8Array(12), payload }, 1),
      ),
      damage,
      (bytes, changes) => {
        const host = new MemoryForwarder(tablesOf('a'))
        host.fromContainers(damaged(bytes, changes))
        host.flush()
        assertBalanced(host)
        for (const frame of host.frames()) {
          const view = new DataView(frame.buffer)
          assert.equal(view.getUint16(22 + 2), frame.length - 22)
          assert.ok(frame.length - 22 <= 1450)
          assert.ok([0x0a0501, 0x0a0601].includes(view.getUint32(22 + 12) >>> 8))
        }
      },
    ),
    { numRuns: 1500 },
  )
})
