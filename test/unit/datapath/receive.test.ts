import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  isSound,
  joined,
  naivePacket,
  type NaivePacket,
  PLAIN,
  PLAIN6,
  UDP,
  withVnet,
  writtenPackets,
} from '../../support/naive-packets.ts'
import {
  dualTablesOf,
  HOST_A,
  MemoryForwarder,
  naiveFrame,
  tablesOf,
} from '../../support/naive-ports.ts'

const bytesOf = (length: number): Uint8Array => Uint8Array.from({ length }, (_, index) => index)
const packet = (change: Partial<NaivePacket>): NaivePacket => ({ ...PLAIN, ...change })

function received(
  frame: Uint8Array,
  from: { groSize?: number; tos?: number } = {},
): MemoryForwarder {
  const host = new MemoryForwarder(dualTablesOf('b'))
  host.fromUnderlay(frame, { source: HOST_A, ...from })
  host.flush()
  return host
}

for (const [version, plain, ipLength] of [
  ['IPv4', PLAIN, 20],
  ['IPv6', PLAIN6, 40],
] as const) {
  test(`a packet of ${version} whose checksum its sender left to a device is handed to the kernel to complete`, () => {
    const syn = naivePacket({ ...plain, flags: 2 }, 'partial')
    const host = received(naiveFrame(syn))
    const expected = withVnet({ flags: 1, csumStart: ipLength, csumOffset: 16 }, syn)
    assert.deepEqual(host.written, [expected])
    assert.equal(host.counted().rx_partial_checksums, 1)
  })

  test(`a TCP super-packet of ${version} that another device never cut is cut at the peer MTU`, () => {
    const whole = { ...plain, payload: bytesOf(5000) }
    const host = received(naiveFrame(naivePacket(whole, 'partial')))
    assert.equal(host.written.length, 1)
    const segments = writtenPackets(host.written[0]!)
    const size = 1450 - ipLength - 20
    assert.deepEqual(
      segments.map(({ payload }) => payload.length),
      [size, size, size, 5000 - 3 * size],
    )
    assert.deepEqual(joined(...segments.map(({ payload }) => payload)), whole.payload)
  })

  test(`the size that the kernel reports of an uncut UDP super-packet of ${version} is that of its datagrams`, () => {
    const whole = { ...plain, protocol: UDP, payload: bytesOf(9500) }
    const host = received(naiveFrame(naivePacket(whole, 'partial')), { groSize: 1000 })
    const datagrams = writtenPackets(host.written[0]!)
    assert.deepEqual(
      datagrams.map(({ payload }) => payload.length),
      [...Array.from({ length: 9 }, () => 1000), 500],
    )
    assert.equal(host.counted().rx_frames, 1)
  })

  test(`several datagrams of ${version} in one are cut also where they would fit the MTU together`, () => {
    const whole = { ...plain, protocol: UDP, payload: bytesOf(1000) }
    const host = received(naiveFrame(naivePacket(whole, 'partial')), { groSize: 500 })
    assert.deepEqual(
      writtenPackets(host.written[0]!).map(({ payload }) => payload.length),
      [500, 500],
    )
  })

  test(`several datagrams of ${version} in one are dropped by name where the kernel cannot cut them`, () => {
    for (const [coalesce, groSize] of [
      [{ tcp: true, udp: false }, 1000],
      [{ tcp: true, udp: true }, 100],
    ] as const) {
      const whole = { ...plain, protocol: UDP, payload: bytesOf(9500) }
      const host = new MemoryForwarder(dualTablesOf('b'), { coalesce })
      const frame = naiveFrame(naivePacket(whole, 'partial'))
      host.fromUnderlay(frame, { source: HOST_A, groSize })
      host.flush()
      assert.deepEqual(host.written, [])
      assert.equal(host.counted().rx_drop_uncut, 1)
      assert.equal(host.counted().rx_packets, undefined)
    }
  })
}

test('joined datagrams are cut by the size that the kernel reports', () => {
  const frames = [0, 1, 2].map((index) =>
    naiveFrame(naivePacket(packet({ protocol: UDP, sourcePort: index, payload: bytesOf(200) }))),
  )
  const host = received(joined(...frames), { groSize: frames[0]!.length })
  assert.equal(host.counted().rx_packets, 3)
  assert.equal(host.written.length, 3)
})

test('a joined datagram whose inner length is not its own is dropped, its neighbours are not', () => {
  const good = naiveFrame(naivePacket(packet({ payload: bytesOf(200) })))
  const lying = good.with(22 + 3, 100)
  const host = received(joined(good, lying, good), { groSize: good.length })
  assert.equal(host.counted().rx_drop_malformed, 1)
  assert.equal(host.counted().rx_packets, 2)
})

test('a congestion mark on the way is passed on to the packet', () => {
  const host = received(naiveFrame(naivePacket(packet({ tos: 0xb8 | 2, payload: bytesOf(9) }))), {
    tos: 3,
  })
  const bytes = host.written[0]!.slice(10)
  assert.equal(bytes[1], 0xb8 | 3)
  assert.ok(isSound(bytes))
})

test('UDP without a checksum and fragments are delivered as they are', () => {
  const none = naivePacket(packet({ protocol: UDP, payload: bytesOf(9) }))
  none[26] = 0
  none[27] = 0
  const fragment = naivePacket(packet({ protocol: UDP, fragment: 0x2000, payload: bytesOf(16) }))
  fragment[30]! ^= 1
  for (const bytes of [none, fragment]) {
    assert.deepEqual(
      received(naiveFrame(bytes)).written.map((bytes) => Buffer.from(bytes)),
      [Buffer.from(withVnet({}, bytes))],
    )
  }
})

test('where the kernel takes no super-packets each packet is written as it came', () => {
  const host = new MemoryForwarder(tablesOf('b'), { coalesce: { tcp: false, udp: false } })
  for (const sequence of [0, 100, 200]) {
    const bytes = naivePacket(packet({ sequence, payload: bytesOf(100) }))
    host.fromUnderlay(naiveFrame(bytes), { source: HOST_A })
  }
  host.flush()
  assert.equal(host.written.length, 3)
})

test('more flows at once than can be kept apart lose nothing', () => {
  const host = new MemoryForwarder(tablesOf('b'))
  for (let round = 0; round < 3; round++) {
    for (let flow = 0; flow < 40; flow++) {
      const change = { sourcePort: flow, sequence: round * 50, payload: bytesOf(50) }
      host.fromUnderlay(naiveFrame(naivePacket(packet(change))), { source: HOST_A })
    }
  }
  host.flush()
  const delivered = host.written.flatMap(writtenPackets)
  assert.equal(delivered.length, 120)
  for (let flow = 0; flow < 40; flow++) {
    const own = delivered.filter(({ sourcePort }) => sourcePort === flow)
    assert.deepEqual(
      own.map(({ sequence }) => sequence),
      [0, 50, 100],
    )
  }
})
