import assert from 'node:assert/strict'
import { constants } from 'node:os'
import { test } from 'node:test'
import { buildSubnetMap } from '../../../src/datapath/build-subnet-map.ts'
import { type CounterName, Counters, totalOf } from '../../../src/datapath/counters.ts'
import { MAX_DATAGRAM, MAX_DATAGRAM6 } from '../../../src/datapath/limits.ts'
import { SendBatch } from '../../../src/datapath/outbox.ts'
import { PacketMemory } from '../../../src/datapath/packet-memory.ts'
import { PathMtu } from '../../../src/datapath/path-mtu.ts'
import * as abi from '../../../src/datapath/socket-abi.ts'
import { SubnetMap } from '../../../src/datapath/subnet-map.ts'
import { UnderlaySender } from '../../../src/datapath/underlay-sender.ts'
import { parseCidr } from '../../../src/net/cidr.ts'
import { type Ipv4, parseIpv4 } from '../../../src/net/ipv4.ts'
import { type Ipv6, ipv6Bytes, parseIpv6 } from '../../../src/net/ipv6.ts'
import { load16 } from '../../../src/packet/bytes.ts'

const { EAGAIN, ECONNREFUSED, EINVAL, EIO, EMSGSIZE, ENETUNREACH, ENOBUFS } = constants.errno
const MINUTE = 60_000
const PORT = 8472
const NEAR = parseIpv4('10.9.9.2')
const FAR = parseIpv4('10.9.9.3')
const FAR6 = parseIpv6('fd00:9::3')

/** One message as the kernel was given it. */
interface Message {
  readonly to: readonly number[]
  readonly port: number
  readonly length: number
  /** 0 where no control message says it. */
  readonly segmentSize: number
  readonly tos: number
}

interface Call {
  readonly name: 'sendmsg' | 'sendmmsg'
  readonly fd: number
  readonly messages: readonly Message[]
}

/** Errno with which the kernel refuses a message, or 0. */
type Kernel = (message: Message) => number

/**
 * A sender before a kernel that is made up: it refuses what this machine's kernel and devices do not (no
 * checksum offload, IPsec, Linux before 6.14). test/netns/datapath/underlay.test.ts asks the real one.
 */
class Sending {
  readonly calls: Call[] = []
  kernel: Kernel = () => 0
  now = 0
  readonly map: SubnetMap
  readonly #memory = new PacketMemory(262_144)
  readonly #counters = new Counters()
  readonly #batch: SendBatch
  readonly sender: UnderlaySender
  readonly #isIpv6: boolean
  #errno = 0

  constructor({ gso = true, peers = [NEAR, FAR] as readonly (Ipv4 | Ipv6)[] } = {}) {
    this.map = mapOf(peers)
    this.#isIpv6 = typeof peers[0] === 'bigint'
    const now = (): number => this.now
    this.sender = new UnderlaySender(
      {
        memory: this.#memory,
        sockets: { isIpv6: this.#isIpv6, receive: [9], send: [10, 11], gso, gro: true },
        port: PORT,
        counters: this.#counters,
        paths: new PathMtu(this.map, () => 1400, now),
        now,
        calls: {
          sendmsg: (fd, at) => this.#call('sendmsg', fd, Number(at), 1),
          sendmmsg: (fd, at, count) => this.#call('sendmmsg', fd, Number(at), count),
          errno: () => this.#errno,
        },
      },
      this.map,
    )
    this.#batch = new SendBatch(this.#memory, 0, this.sender.maxDatagram)
  }

  /** The one batch, for a peer, of frames of those sizes, each a header of 70 bytes and payload elsewhere. */
  batch(peer: Ipv4 | Ipv6, lengths: readonly number[], tos = 0, lane = 0): SendBatch {
    const batch = this.#batch
    batch.clear()
    batch.lane = lane
    const number = this.map.peerWith(peer)
    batch.begin(number, tos, lengths[0]!)
    for (const length of lengths) {
      assert.ok(batch.segments === 0 || batch.takes(number, tos, length))
      batch.add(1024, 70, 4096, length - 70)
    }
    return batch
  }

  send(...args: Parameters<Sending['batch']>): SendBatch {
    const batch = this.batch(...args)
    this.sender.send(batch)
    return batch
  }

  counted(): Partial<Record<CounterName, number>> {
    return Object.fromEntries(Object.entries(totalOf([this.#counters])).filter(([, n]) => n !== 0))
  }

  #call(name: Call['name'], fd: number, at: number, count: number): number {
    const messages = Array.from({ length: count }, (_, index) => this.#message(at + index * 64))
    this.calls.push({ name, fd, messages })
    let taken = 0
    for (const message of messages) {
      this.#errno = this.kernel(message)
      if (this.#errno !== 0) break
      taken++
    }
    if (taken === 0) return -1
    return name === 'sendmmsg' ? taken : messages[0]!.length
  }

  #message(at: number): Message {
    const { bytes, words } = this.#memory
    const word = (offset: number): number => words[(at + offset) >>> 2]!
    const name = word(abi.MSG_NAME)
    assert.equal(word(abi.MSG_NAME_LENGTH), this.#isIpv6 ? 28 : 16)
    assert.equal(bytes[name], this.#isIpv6 ? abi.AF_INET6 : abi.AF_INET)
    const iovec = word(abi.MSG_IOV)
    const pieces = Array.from(
      { length: word(abi.MSG_IOV_LENGTH) },
      (_, index) => words[((iovec + index * 16) >>> 2) + 2]!,
    )
    const control = this.#control(word(abi.MSG_CONTROL), word(abi.MSG_CONTROL_LENGTH))
    return {
      to: Array.from(
        this.#isIpv6 ? bytes.slice(name + 8, name + 24) : bytes.slice(name + 4, name + 8),
      ),
      port: load16(bytes, name + abi.SOCKADDR_PORT),
      length: pieces.reduce((sum, length) => sum + length, 0),
      ...control,
    }
  }

  #control(at: number, length: number): Pick<Message, 'segmentSize' | 'tos'> {
    const { words } = this.#memory
    let segmentSize = 0
    let tos = 0
    for (let cmsg = at; cmsg < at + length; cmsg += (words[cmsg >>> 2]! + 7) & ~7) {
      const [level, type] = [words[(cmsg + 8) >>> 2], words[(cmsg + 12) >>> 2]]
      const value = words[(cmsg + 16) >>> 2]!
      if (level === abi.SOL_UDP && type === abi.UDP_SEGMENT) segmentSize = value
      else {
        const expected = this.#isIpv6
          ? [abi.IPPROTO_IPV6, abi.IPV6_TCLASS]
          : [abi.IPPROTO_IP, abi.IP_TOS]
        assert.deepEqual([level, type], expected)
        tos = value
      }
    }
    return { segmentSize, tos }
  }
}

function mapOf(peers: readonly (Ipv4 | Ipv6)[]): SubnetMap {
  const remote = peers.map((publicIp, index) => ({
    subnet: parseCidr(`10.5.${index + 1}.0/24`),
    vni: 7,
    publicIp,
    vtepMac: '02:00:00:00:00:0b',
    mtu: 1450,
  }))
  return new SubnetMap(buildSubnetMap({ vtepMac: '02:00:00:00:00:0a', local: [], remote }))
}

const THREE = [1000, 1000, 400]
const namesOf = (host: Sending): string[] => host.calls.map(({ name }) => name)
const refusedOf = (batch: SendBatch): number[] =>
  Array.from({ length: batch.segments }, (_, segment) => segment).filter((segment) =>
    batch.isRefused(segment),
  )

test('a batch is one send to the peer, with the segment size, on its lane’s socket', () => {
  const host = new Sending()
  host.send(FAR, THREE, 0, 1)
  const [call] = host.calls
  assert.equal(host.calls.length, 1)
  assert.equal(call!.name, 'sendmsg')
  assert.equal(call!.fd, 11)
  assert.deepEqual(call!.messages, [
    { to: [10, 9, 9, 3], port: PORT, length: 2400, segmentSize: 1000, tos: 0 },
  ])
  assert.deepEqual(host.counted(), { tx_sendmsg: 1, tx_segments: 3, tx_bytes: 2400 })
})

test('one datagram never has a segment size', () => {
  for (const gso of [true, false]) {
    const host = new Sending({ gso })
    host.send(NEAR, [1000], 3)
    assert.deepEqual(host.calls[0]!.messages, [
      { to: [10, 9, 9, 2], port: PORT, length: 1000, segmentSize: 0, tos: 3 },
    ])
    assert.deepEqual(namesOf(host), ['sendmsg'])
    assert.deepEqual(host.counted(), { tx_sendmsg: 1, tx_segments: 1, tx_bytes: 1000 })
  }
})

test('over IPv6 the address, the traffic class and the largest send are IPv6’s', () => {
  const host = new Sending({ peers: [FAR6] })
  host.send(FAR6, THREE, 0xb9)
  const [message] = host.calls[0]!.messages
  assert.deepEqual(message!.to, [...ipv6Bytes(FAR6)])
  assert.equal(message!.port, PORT)
  assert.equal(message!.tos, 0xb9)
  assert.equal(host.sender.maxDatagram, MAX_DATAGRAM6)
  assert.equal(new Sending().sender.maxDatagram, MAX_DATAGRAM)
})

test('a batch takes what one datagram of the family holds, and no more', () => {
  for (const [peer, most] of [
    [NEAR, 65_507],
    [FAR6, 65_527],
  ] as const) {
    const host = new Sending({ peers: [peer] })
    const batch = host.batch(peer, [30_000, 30_000])
    assert.ok(batch.takes(1, 0, most - 60_000))
    assert.ok(!batch.takes(1, 0, most - 60_000 + 1))
  }
})

test('a kernel without UDP_SEGMENT is given the datagrams of a batch in one call', () => {
  const host = new Sending({ gso: false })
  host.send(NEAR, THREE, 2)
  assert.deepEqual(namesOf(host), ['sendmmsg'])
  const [call] = host.calls
  assert.deepEqual(
    call!.messages.map(({ length, segmentSize, tos }) => [length, segmentSize, tos]),
    [
      [1000, 0, 2],
      [1000, 0, 2],
      [400, 0, 2],
    ],
  )
  assert.deepEqual(host.counted(), { tx_sendmsg: 1, tx_segments: 3, tx_bytes: 2400 })
})

for (const [name, code] of [
  ['EIO, of a device without checksum offload or an IPsec policy', EIO],
  ['EINVAL, of a kernel that cannot', EINVAL],
] as const) {
  test(`${name}: the same frames go one by one at once, and for ten minutes`, () => {
    const host = new Sending()
    host.kernel = ({ to, segmentSize }) => (to[3] === 3 && segmentSize !== 0 ? code : 0)
    host.send(FAR, THREE)
    assert.deepEqual(namesOf(host), ['sendmsg', 'sendmmsg'])
    assert.deepEqual(
      host.calls[1]!.messages.map(({ length }) => length),
      THREE,
    )
    host.send(FAR, THREE)
    assert.deepEqual(namesOf(host), ['sendmsg', 'sendmmsg', 'sendmmsg'])
    host.send(NEAR, THREE)
    assert.deepEqual(namesOf(host).slice(3), ['sendmsg'], 'other peers are sent batches')
    host.now = 10 * MINUTE - 1
    host.send(FAR, THREE)
    assert.deepEqual(namesOf(host).slice(4), ['sendmmsg'])
    host.now = 10 * MINUTE
    host.kernel = () => 0
    host.send(FAR, THREE)
    host.send(FAR, THREE)
    assert.deepEqual(namesOf(host).slice(5), ['sendmsg', 'sendmsg'], 'then it is tried again')
    const counted = host.counted()
    assert.equal(counted.tx_gso_fallbacks, 1)
    assert.equal(counted.tx_segments, 18)
    assert.equal(counted.tx_lost_error, undefined)
  })
}

test('a new map is a reason to try again', () => {
  const host = new Sending()
  host.kernel = ({ segmentSize }) => (segmentSize !== 0 ? EIO : 0)
  host.send(FAR, THREE)
  host.kernel = () => 0
  host.sender.use(host.map)
  host.send(FAR, THREE)
  assert.deepEqual(namesOf(host), ['sendmsg', 'sendmmsg', 'sendmsg'])
})

test('EINVAL of a kernel before 6.14 that means the path is no reason to stop segmenting', () => {
  const host = new Sending()
  host.kernel = ({ length, segmentSize }) => {
    if (segmentSize > 900) return EINVAL
    return segmentSize === 0 && length > 900 ? EMSGSIZE : 0
  }
  const batch = host.send(FAR, THREE)
  assert.deepEqual(refusedOf(batch), [0, 1, 2])
  host.send(FAR, [800, 800])
  assert.deepEqual(namesOf(host).at(-1), 'sendmsg')
  const { tx_segments, tx_bytes } = host.counted()
  assert.deepEqual([tx_segments, tx_bytes], [2, 1600])
})

test('EMSGSIZE gives the whole batch back, and the path is asked about', () => {
  const host = new Sending()
  host.kernel = ({ to }) => (to[3] === 3 ? EMSGSIZE : 0)
  const batch = host.send(FAR, THREE)
  assert.deepEqual(refusedOf(batch), [0, 1, 2])
  assert.equal(batch.refusedCount, 3)
  assert.deepEqual(host.counted(), {}, 'neither sent nor lost')
  assert.deepEqual(namesOf(host), ['sendmsg'])
})

test('of single datagrams none overtakes those that are given back', () => {
  const host = new Sending({ gso: false })
  host.kernel = ({ length }) => (length > 900 ? EMSGSIZE : 0)
  const batch = host.send(FAR, THREE)
  assert.deepEqual(refusedOf(batch), [0, 1, 2])
  assert.deepEqual(host.counted(), {})
})

test('of single datagrams those stay sent that went before the path became narrow', () => {
  const host = new Sending({ gso: false })
  let taken = 0
  host.kernel = () => (taken++ < 1 ? 0 : EMSGSIZE)
  const batch = host.send(FAR, THREE)
  assert.deepEqual(refusedOf(batch), [1, 2])
  assert.deepEqual(host.counted(), { tx_sendmsg: 1, tx_segments: 1, tx_bytes: 1000 })
})

for (const [name, code] of [
  ['EAGAIN', EAGAIN],
  ['ENOBUFS', ENOBUFS],
] as const) {
  test(`${name}: a batch is lost to a full queue, counted by frames, and not tried again`, () => {
    const host = new Sending()
    host.kernel = () => code
    assert.equal(host.send(FAR, THREE).refusedCount, 0)
    assert.deepEqual(namesOf(host), ['sendmsg'])
    assert.deepEqual(host.counted(), { tx_lost_backpressure: 3 })
  })

  test(`${name}: of single datagrams the rest is lost without a call for each`, () => {
    const host = new Sending({ gso: false })
    let taken = 0
    host.kernel = () => (taken++ < 1 ? 0 : code)
    host.send(FAR, THREE)
    assert.equal(host.calls.length, 2)
    const { tx_segments, tx_lost_backpressure } = host.counted()
    assert.deepEqual([tx_segments, tx_lost_backpressure], [1, 2])
  })
}

test('any other failure loses the frames that it is about', () => {
  const host = new Sending()
  host.kernel = () => ENETUNREACH
  host.send(FAR, THREE)
  assert.deepEqual(host.counted(), { tx_lost_error: 3 })
  const plain = new Sending({ gso: false })
  plain.kernel = ({ length }) => (length === 400 ? ECONNREFUSED : 0)
  plain.send(FAR, THREE)
  assert.deepEqual(plain.counted(), {
    tx_sendmsg: 1,
    tx_segments: 2,
    tx_bytes: 2000,
    tx_lost_error: 1,
  })
})

test('every frame of any batch is sent, lost or given back, whatever the kernel does', () => {
  const codes = [0, 0, 0, EIO, EINVAL, EMSGSIZE, EAGAIN, ENOBUFS, ENETUNREACH]
  let state = 12_345
  const random = (below: number): number => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) & 0x7fff_ffff
    return (state >>> 8) % below
  }
  for (const gso of [true, false]) {
    const host = new Sending({ gso })
    host.kernel = () => codes[random(codes.length)]!
    let frames = 0
    let refused = 0
    for (let round = 0; round < 500; round++) {
      const count = 1 + random(8)
      host.now += random(MINUTE)
      refused += host.send(random(2) ? NEAR : FAR, Array<number>(count).fill(500)).refusedCount
      frames += count
    }
    const { tx_segments = 0, tx_lost_error = 0, tx_lost_backpressure = 0 } = host.counted()
    assert.equal(tx_segments + tx_lost_error + tx_lost_backpressure + refused, frames)
  }
})
