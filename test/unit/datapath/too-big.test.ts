import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import {
  joined,
  naivePacket,
  naiveSum,
  PLAIN,
  PLAIN6,
  superPacket,
  TCP,
  UDP,
  withVnet,
} from '../../support/naive-packets.ts'
import { dualTablesOf, MemoryForwarder } from '../../support/naive-ports.ts'

const ICMP = 1
const ICMPV6 = 58
const FRAGMENT_HEADER = 44

const bytesOf = (length: number): Uint8Array => Uint8Array.from({ length }, (_, index) => index)
const large = bytesOf(1500)

/** What an address is answered to the packet, when the peer MTU is 1,300. */
function answerTo(packet: Uint8Array): Uint8Array | undefined {
  const host = new MemoryForwarder(dualTablesOf('a', 1300))
  host.fromContainers(packet.length > 0 ? packet : withVnet({}, packet))
  host.flush()
  const { tx_drop_too_big = 0, tx_icmp_too_big = 0, tx_icmp_limited = 0 } = host.counted()
  assert.deepEqual(host.sent, [])
  assert.equal(tx_drop_too_big, 1)
  assert.equal(tx_icmp_too_big, host.written.length)
  assert.equal(tx_icmp_limited, 0)
  const [answer] = host.written
  if (answer === undefined) return undefined
  assert.deepEqual(answer.slice(0, 10), new Uint8Array(10), 'a packet complete in itself')
  return answer.slice(10)
}

/** The answer of RFC 792 and RFC 1191, from the destination to the source. */
function fragmentationNeeded(packet: Uint8Array, mtu: number): Uint8Array {
  const message = joined(
    Uint8Array.of(3, 4, 0, 0, 0, 0, mtu >> 8, mtu & 255),
    packet.slice(0, 576 - 28),
  )
  new DataView(message.buffer).setUint16(2, 0xffff - naiveSum(message))
  return naivePacket({
    ...PLAIN,
    source: PLAIN.destination,
    destination: PLAIN.source,
    protocol: ICMP,
    tos: 0xc0,
    ttl: 64,
    id: 0,
    payload: message,
  })
}

/** The answer of RFC 4443 section 3.2. */
function packetTooBig(packet: Uint8Array, mtu: number): Uint8Array {
  const message = joined(
    Uint8Array.of(2, 0, 0, 0, 0, 0, mtu >> 8, mtu & 255),
    packet.slice(0, 1280 - 48),
  )
  const answer = { ...PLAIN6, source: PLAIN6.destination, destination: PLAIN6.source }
  const whole = { ...answer, protocol: ICMPV6, ttl: 64, flowLabel: 0, payload: message }
  const pseudo = joined(
    naivePacket(whole).slice(8, 40),
    Uint8Array.of(0, 0, message.length >> 8, message.length & 255, 0, 0, 0, ICMPV6),
  )
  new DataView(message.buffer).setUint16(2, 0xffff - naiveSum(joined(pseudo, message)))
  return naivePacket(whole)
}

describe('a packet larger than the peer MTU that may not be cut is answered with what fits', () => {
  for (const [name, protocol] of Object.entries({ TCP, UDP, ESP: 50 })) {
    test(`${name} over IPv4`, () => {
      const packet = naivePacket({ ...PLAIN, protocol, payload: large })
      assert.deepEqual(answerTo(withVnet({}, packet)), fragmentationNeeded(packet, 1300))
    })
    test(`${name} over IPv6`, () => {
      const packet = naivePacket({ ...PLAIN6, protocol, payload: large })
      assert.deepEqual(answerTo(withVnet({}, packet)), packetTooBig(packet, 1300))
    })
  }

  test('with IPv4 options', () => {
    const ipOptions = Uint8Array.of(0x44, 12, 5, 0, 1, 2, 3, 4, 5, 6, 7, 8)
    const packet = naivePacket({ ...PLAIN, ipOptions, payload: large })
    assert.deepEqual(answerTo(withVnet({}, packet)), fragmentationNeeded(packet, 1300))
  })

  test('and is quoted with the checksum that its sender left to a device', () => {
    const packet = { ...PLAIN, protocol: UDP, payload: large }
    const partial = { flags: 1, csumStart: 20, csumOffset: 6 }
    assert.deepEqual(
      answerTo(withVnet(partial, naivePacket(packet, 'partial'))),
      fragmentationNeeded(naivePacket(packet), 1300),
    )
  })

  test('once for all the datagrams of a super-packet', () => {
    for (const [plain, answer] of [
      [PLAIN, fragmentationNeeded],
      [PLAIN6, packetTooBig],
    ] as const) {
      const packet = { ...plain, protocol: UDP, payload: bytesOf(9000) }
      assert.deepEqual(
        answerTo(superPacket(packet, 1400)),
        answer(naivePacket(packet, 'partial'), 1300),
      )
    }
  })

  test('if it is an echo request', () => {
    const echo = naivePacket({ ...PLAIN, protocol: ICMP, payload: Uint8Array.of(8, ...large) })
    assert.deepEqual(answerTo(withVnet({}, echo)), fragmentationNeeded(echo, 1300))
    const payload = Uint8Array.of(128, ...large)
    const echo6 = naivePacket({ ...PLAIN6, protocol: ICMPV6, payload })
    assert.deepEqual(answerTo(withVnet({}, echo6)), packetTooBig(echo6, 1300))
  })

  test('if it is the first fragment', () => {
    const first = naivePacket({ ...PLAIN, fragment: 0x6000, payload: bytesOf(1480) })
    assert.deepEqual(answerTo(withVnet({}, first)), fragmentationNeeded(first, 1300))
  })

  test('over IPv6 if it is any fragment', () => {
    for (const offset of [0, 8]) {
      const rest = Uint8Array.of(0, 0, offset | 1, 1, 2, 3, 4)
      const extensions = [{ type: FRAGMENT_HEADER, rest }]
      const packet = naivePacket({ ...PLAIN6, extensions, protocol: UDP, payload: large })
      assert.deepEqual(answerTo(withVnet({}, packet)), packetTooBig(packet, 1300))
    }
  })
})

describe('no answer is given', () => {
  for (const type of [3, 4, 5, 11, 12, 20, 255]) {
    test(`to ICMP of type ${type}`, () => {
      const payload = Uint8Array.of(type, ...large)
      assert.equal(
        answerTo(withVnet({}, naivePacket({ ...PLAIN, protocol: ICMP, payload }))),
        undefined,
      )
    })
  }

  for (const type of [1, 2, 3, 4, 127]) {
    test(`to ICMPv6 of type ${type}`, () => {
      const payload = Uint8Array.of(type, ...large)
      const packet = { ...PLAIN6, protocol: ICMPV6, payload }
      assert.equal(answerTo(withVnet({}, naivePacket(packet))), undefined)
      const rest = Uint8Array.of(0, 0, 1, 1, 2, 3, 4)
      const extensions = [{ type: FRAGMENT_HEADER, rest }]
      assert.equal(answerTo(withVnet({}, naivePacket({ ...packet, extensions }))), undefined)
    })
  }

  test('to a fragment of IPv4 other than the first', () => {
    const packet = naivePacket({ ...PLAIN, fragment: 0x4001, payload: large })
    assert.equal(answerTo(withVnet({}, packet)), undefined)
  })

  test('that would ask for less than IPv6 demands of every link', () => {
    const host = new MemoryForwarder(dualTablesOf('a', 1000))
    const packet = (length: number): Uint8Array =>
      withVnet({}, naivePacket({ ...PLAIN6, protocol: 50, payload: bytesOf(length) }))
    host.fromContainers(packet(1240))
    assert.deepEqual(host.counted(), { tun_packets: 1, tx_drop_too_big: 1 })
    host.fromContainers(packet(1241))
    assert.deepEqual(host.written, [withVnet({}, packetTooBig(packet(1241).slice(10), 1280))])
  })
})

test('a flow that does not heed its answers gets fewer of them, and others still get theirs', () => {
  const clock = { now: 0 }
  const host = new MemoryForwarder(dualTablesOf('a', 1300), { now: () => clock.now })
  const send = (sourcePort: number): void =>
    host.fromContainers(withVnet({}, naivePacket({ ...PLAIN, sourcePort, payload: large })))
  for (let count = 0; count < 20; count++) send(1)
  assert.equal(host.written.length, 6)
  send(2)
  assert.equal(host.written.length, 7)
  clock.now += 250
  send(1)
  send(1)
  assert.equal(host.written.length, 8)
  assert.deepEqual(host.counted(), {
    tun_packets: 23,
    tx_drop_too_big: 23,
    tx_icmp_too_big: 8,
    tx_icmp_limited: 15,
  })
})
