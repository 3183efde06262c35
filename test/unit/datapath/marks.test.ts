import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import {
  isSound,
  joined,
  naivePacket,
  type NaivePacket,
  parseNaive,
  PLAIN,
  PLAIN6,
  superPacket,
  withVnet,
  writtenPackets,
} from '../../support/naive-packets.ts'
import { dualTablesOf, HOST_A, MemoryForwarder, naiveFrame } from '../../support/naive-ports.ts'

const payload = Uint8Array.from({ length: 3000 }, (_, index) => index)
const VERSIONS: readonly (readonly [string, NaivePacket])[] = [
  ['IPv4', PLAIN],
  ['IPv6', PLAIN6],
]
const NAMES = ['Not-ECT', 'ECT(1)', 'ECT(0)', 'CE']
const DROP = null

/** RFC 6040 section 4.2, figure 4. Rows: inner Not-ECT, ECT(1), ECT(0), CE. Columns: outer, the same. */
const DELIVERED: readonly (readonly (number | null)[])[] = [
  [0, 0, 0, DROP],
  [1, 1, 1, 3],
  [2, 1, 2, 3],
  [3, 3, 3, 3],
]

for (const [version, plain] of VERSIONS) {
  describe(`congestion marks of ${version} inside`, () => {
    for (const [inner, row] of DELIVERED.entries()) {
      for (const [outer, delivered] of row.entries()) {
        const outcome = delivered === DROP ? 'dropped' : `delivered as ${NAMES[delivered]}`
        test(`${NAMES[inner]} inside ${NAMES[outer]} is ${outcome}`, () => {
          const tos = 0xb8 | inner
          const packet = naivePacket({ ...plain, tos, payload: payload.slice(0, 99) })
          const host = new MemoryForwarder(dualTablesOf('b'))
          host.fromUnderlay(naiveFrame(packet), { source: HOST_A, tos: 0x48 | outer })
          host.flush()
          const counted = host.counted()
          assert.equal(counted.rx_drop_ecn, delivered === DROP ? 1 : undefined)
          const isOdd = inner === 0 && (outer === 1 || outer === 2)
          assert.equal(counted.rx_odd_ecn, isOdd ? 1 : undefined)
          assert.deepEqual(
            host.written.map((written) => parseNaive(written.slice(10)).tos),
            delivered === DROP ? [] : [0xb8 | delivered],
          )
          assert.ok(host.written.every((written) => isSound(written.slice(10))))
        })
      }
    }

    test('are merged and counted in each of the segments that the kernel joined', () => {
      for (const [inner, outer, delivered] of [
        [2, 3, 3],
        [1, 3, 3],
        [2, 1, 1],
        [0, 2, 0],
        [3, 2, 3],
      ] as const) {
        const frames = [0, 1, 2, 3, 4].map((index) => {
          const segment = { ...plain, tos: inner, payload: payload.slice(0, 100) }
          return naiveFrame(naivePacket({ ...segment, sequence: 1000 + index * 100 }))
        })
        const host = new MemoryForwarder(dualTablesOf('b'))
        const groSize = frames[0]!.length
        host.fromUnderlay(joined(...frames), { source: HOST_A, tos: outer, groSize })
        host.flush()
        const written = host.written.flatMap(writtenPackets)
        assert.deepEqual(
          written.map(({ tos, payload }) => [tos, payload.length]),
          frames.map(() => [delivered, 100]),
        )
        assert.equal(host.written.length, 1)
        assert.equal(host.counted().rx_odd_ecn, inner === 0 ? 5 : undefined)
      }
    })

    test('are merged before segments are joined, so that a marked one stays apart', () => {
      const host = new MemoryForwarder(dualTablesOf('b'))
      const marks = [2, 2, 3, 2]
      for (const [index, tos] of marks.entries()) {
        const segment = { ...plain, tos: 2, payload: payload.slice(0, 100) }
        const bytes = naivePacket({ ...segment, sequence: 1000 + index * 100 })
        host.fromUnderlay(naiveFrame(bytes), { source: HOST_A, tos })
      }
      host.flush()
      const written = host.written.map((written) => parseNaive(written.slice(10)))
      assert.deepEqual(
        written.map(({ tos, payload }) => [tos, payload.length]),
        [
          [2, 200],
          [3, 100],
          [2, 100],
        ],
      )
    })
  })

  describe(`the outer header of ${version}`, () => {
    for (const [dscp, expected] of [
      [0, (tos: number) => tos & 3],
      [46, (tos: number) => 0xb8 | (tos & 3)],
      [63, (tos: number) => 0xfc | (tos & 3)],
      ['inherit', (tos: number) => tos],
    ] as const) {
      test(`with DSCP ${dscp} has the inner mark and ${dscp === 'inherit' ? 'the inner' : 'that'} DSCP`, () => {
        for (let tos = 0; tos < 256; tos++) {
          const host = new MemoryForwarder(dualTablesOf('a'), { dscp })
          host.fromContainers(withVnet({}, naivePacket({ ...plain, tos })))
          host.fromContainers(superPacket({ ...plain, tos, payload }, 1000))
          host.flush()
          assert.ok(host.sent.length > 0)
          for (const batch of host.sent) assert.equal(batch.tos, expected(tos))
          assert.ok(host.frames().every((frame) => parseNaive(frame.slice(22)).tos === tos))
        }
      })
    }

    test('is one for all frames of a send', () => {
      const host = new MemoryForwarder(dualTablesOf('a'), { dscp: 'inherit' })
      for (const tos of [0x28, 0x28, 0xb8, 0x28]) {
        host.fromContainers(withVnet({}, naivePacket({ ...plain, tos })))
      }
      host.flush()
      assert.deepEqual(
        host.sent.map(({ tos, frames }) => [tos, frames.length]),
        [
          [0x28, 2],
          [0xb8, 1],
          [0x28, 1],
        ],
      )
    })
  })
}
