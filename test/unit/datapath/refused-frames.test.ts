import assert from 'node:assert/strict'
import { test } from 'node:test'
import { reassembled } from '../../support/naive-fragments.ts'
import {
  isSound,
  joined,
  naivePacket,
  type NaivePacket,
  naiveSegments,
  parseNaive,
  PLAIN,
  PLAIN6,
  superPacket,
  UDP,
  withVnet,
} from '../../support/naive-packets.ts'
import { dualTablesOf, HOST_B, MemoryForwarder } from '../../support/naive-ports.ts'

const bytesOf = (length: number): Uint8Array => Uint8Array.from({ length }, (_, index) => index)
const inner = (frame: Uint8Array): Uint8Array => frame.slice(22)

/** Host A, whose path to host B has just become one of 1,400 bytes: 1,350 for a packet inside. */
function narrowed(): MemoryForwarder {
  const host = new MemoryForwarder(dualTablesOf('a'))
  host.pathMtus.set(HOST_B, 1400)
  return host
}

for (const [version, plain, room] of [
  ['IPv4', PLAIN, 1350 - 40],
  ['IPv6', PLAIN6, 1350 - 60],
] as const) {
  test(`TCP over ${version} that the path refuses is cut again, and arrives whole and in order`, () => {
    const host = narrowed()
    const packet = { ...plain, payload: bytesOf(6000), flags: 0x98 } // CWR, PSH, ACK
    host.fromContainers(superPacket(packet, 1390))
    host.flush()
    const expected = naiveSegments(packet, 1390).flatMap((segment) => naiveSegments(segment, room))
    const withoutId = (packet: NaivePacket): Buffer =>
      Buffer.from(naivePacket({ ...packet, id: 0 }))
    assert.deepEqual(
      host.frames().map((frame) => withoutId(parseNaive(inner(frame)))),
      expected.map(withoutId),
    )
    assert.ok(host.frames().every((frame) => isSound(inner(frame))))
    assert.equal(host.written.length, 0)
    const { tx_frames, tx_retried, tx_lost_too_big } = host.counted()
    assert.deepEqual([tx_frames, tx_retried, tx_lost_too_big], [5 + expected.length, 5, undefined])
  })

  test(`the next TCP super-packet over ${version} is cut right at once`, () => {
    const host = narrowed()
    for (let count = 0; count < 2; count++) {
      host.sent.length = 0
      host.fromContainers(superPacket({ ...plain, payload: bytesOf(6000) }, 1400))
      host.flush()
    }
    assert.deepEqual(
      host.frames().map((frame) => parseNaive(inner(frame)).payload.length),
      [room, room, room, room, 6000 - 4 * room],
    )
    assert.equal(host.counted().tx_retried, 5)
  })
}

test('datagrams that may be cut are fragmented after the path refused them', () => {
  const host = narrowed()
  const packet = { ...PLAIN, fragment: 0, protocol: UDP, payload: bytesOf(4200) }
  host.fromContainers(superPacket(packet, 1400))
  host.fromContainers(withVnet({}, naivePacket({ ...packet, id: 9, payload: bytesOf(1400) })))
  host.flush()
  const fragments = host.frames().map(inner)
  const datagrams = [0, 2, 4, 6].map((at) => reassembled(fragments.slice(at, at + 2)))
  const expected = [...naiveSegments(packet, 1400), { ...packet, id: 9, payload: bytesOf(1400) }]
  assert.deepEqual(
    datagrams,
    expected.map((packet) => Uint8Array.from(naivePacket(packet))),
  )
  assert.equal(host.counted().tx_lost_too_big, undefined)
})

test('the sender of a datagram that may not be cut is told at once what fits', () => {
  for (const plain of [PLAIN, PLAIN6]) {
    for (const asSuper of [false, true]) {
      const host = narrowed()
      const packet = { ...plain, protocol: UDP, payload: bytesOf(1390) }
      host.fromContainers(
        asSuper
          ? superPacket({ ...packet, payload: joined(packet.payload, packet.payload) }, 1390)
          : withVnet({}, naivePacket(packet)),
      )
      host.flush()
      assert.equal(host.frames().length, 0)
      const count = asSuper ? 2 : 1
      assert.equal(host.counted().tx_lost_too_big, count)
      assert.equal(host.counted().tx_icmp_too_big, count)
      const answer = host.written[0]!.slice(10)
      const headers = plain === PLAIN ? 28 : 48
      assert.equal(answer[headers - 8], plain === PLAIN ? 3 : 2)
      const mtu = new DataView(answer.buffer).getUint16(headers - 2)
      assert.equal(mtu, 1350)
      const quoted = answer.slice(headers)
      const original = naivePacket(packet)
      assert.deepEqual(quoted, Uint8Array.from(original.slice(0, quoted.length)))
    }
  }
})

test('where the kernel’s answer does not explain the refusal, packets are cut and senders told all the same', () => {
  for (const answer of [0, 1500]) {
    const host = narrowed()
    host.wrongAnswers.set(HOST_B, answer)
    host.fromContainers(superPacket({ ...PLAIN, payload: bytesOf(2820) }, 1410))
    host.flush()
    const lengths = host.frames().map((frame) => inner(frame).length)
    assert.deepEqual(lengths, [1230, 260, 1230, 260], 'inside 1,280 bytes')
    assert.equal(host.counted().tx_lost_too_big, undefined)

    host.fromContainers(
      withVnet({}, naivePacket({ ...PLAIN, protocol: UDP, payload: bytesOf(1390) })),
    )
    host.flush()
    assert.equal(new DataView(host.written[0]!.buffer).getUint16(10 + 26), 1230)
  }
})

test('a small frame at the end of a refused batch goes out as it is', () => {
  const host = narrowed()
  for (const length of [1390, 100]) {
    host.fromContainers(
      withVnet({}, naivePacket({ ...PLAIN, protocol: UDP, payload: bytesOf(length) })),
    )
  }
  host.flush()
  assert.deepEqual(
    host.frames().map((frame) => parseNaive(inner(frame)).payload.length),
    [100],
  )
})

test('what the path refuses twice is lost and counted, and not tried for ever', () => {
  const host = narrowed()
  host.fromContainers(superPacket({ ...PLAIN, payload: bytesOf(2000) }, 1400))
  host.flush()
  host.pathMtus.set(HOST_B, 1300) // sooner than the kernel is asked again
  host.sent.length = 0
  host.fromContainers(superPacket({ ...PLAIN, payload: bytesOf(2000) }, 1400))
  host.flush()
  assert.equal(host.frames().length, 0)
  assert.equal(host.counted().tx_lost_too_big, 2)
})

test('a path is as wide as the peer MTU again when what was learned is ten minutes old', () => {
  const clock = { now: 0 }
  const host = new MemoryForwarder(dualTablesOf('a'), { now: () => clock.now })
  host.pathMtus.set(HOST_B, 1400)
  const sizes = (): number[] => {
    host.sent.length = 0
    host.fromContainers(superPacket({ ...PLAIN, payload: bytesOf(2820) }, 1410))
    host.flush()
    return host.frames().map((frame) => inner(frame).length)
  }
  assert.deepEqual(sizes(), [1350, 140, 1350, 140])
  host.pathMtus.delete(HOST_B)
  clock.now = 10 * 60_000 - 1
  assert.deepEqual(sizes(), [1350, 1350, 240])
  clock.now++
  host.flush()
  assert.deepEqual(sizes(), [1450, 1450])
})
