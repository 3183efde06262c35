import assert from 'node:assert/strict'
import { createSocket } from 'node:dgram'
import { release } from 'node:os'
import { describe, test } from 'node:test'
import { buildSubnetMap } from '../../../src/datapath/build-subnet-map.ts'
import { type CounterName, Counters, totalOf } from '../../../src/datapath/counters.ts'
import { addressOf, libc } from '../../../src/datapath/libc.ts'
import { MAX_DATAGRAM, MAX_DATAGRAM6, MAX_SEGMENTS } from '../../../src/datapath/limits.ts'
import { SendBatch } from '../../../src/datapath/outbox.ts'
import { PacketMemory } from '../../../src/datapath/packet-memory.ts'
import { pathMtuProbe } from '../../../src/datapath/path-mtu-probe.ts'
import { PathMtu } from '../../../src/datapath/path-mtu.ts'
import { writeSockaddr } from '../../../src/datapath/sockaddr.ts'
import * as abi from '../../../src/datapath/socket-abi.ts'
import { SubnetMap } from '../../../src/datapath/subnet-map.ts'
import { joinsSoundly, segmentsSoundly } from '../../../src/datapath/udp-offload.ts'
import { UnderlaySender } from '../../../src/datapath/underlay-sender.ts'
import {
  closeUnderlay,
  openUnderlay,
  type UnderlayOptions,
  type UnderlaySockets,
} from '../../../src/datapath/underlay-sockets.ts'
import { parseCidr } from '../../../src/net/cidr.ts'
import { type Ipv4, parseIpv4 } from '../../../src/net/ipv4.ts'
import { formatIp, type Ipv6, parseIpv6 } from '../../../src/net/ipv6.ts'
import { enterOwnNetns, sh } from '../../support/netns.ts'
import { waitFor } from '../../support/wait.ts'

enterOwnNetns()
// A link whose other end nobody listens at, with neighbours that need not be asked for.
await sh(`ip link add d0 mtu 1500 type veth peer name d1
  ip link set d1 up
  ip addr add 10.9.9.1/24 dev d0
  ip addr add fd00:9::1/64 dev d0 nodad
  ip link set d0 up
  ip neigh add 10.9.9.2 lladdr 02:00:00:00:00:02 dev d0
  ip neigh add fd00:9::2 lladdr 02:00:00:00:00:02 dev d0`)

const UDP_NO_CHECK6_TX = 101

const FAMILIES = [
  {
    name: 'IPv4',
    own: parseIpv4('10.9.9.1'),
    peer: parseIpv4('10.9.9.2'),
    headers: 28,
    most: MAX_DATAGRAM,
  },
  {
    name: 'IPv6',
    own: parseIpv6('fd00:9::1'),
    peer: parseIpv6('fd00:9::2'),
    headers: 48,
    most: MAX_DATAGRAM6,
  },
] as const

function open(ip: Ipv4 | Ipv6, options: Partial<UnderlayOptions> = {}): UnderlaySockets {
  const [sockets] = openUnderlay(
    { ip, port: 8472, workers: 1, segmentation: 'on', receiveOffload: 'on', ...options },
    new PacketMemory(65_536, addressOf),
  )
  return sockets!
}

/** A sender to one peer before the real kernel. */
class Sending implements Disposable {
  readonly memory = new PacketMemory(524_288, addressOf)
  readonly map: SubnetMap
  readonly paths: PathMtu
  readonly sender: UnderlaySender
  readonly peer: number
  readonly #sockets: UnderlaySockets
  readonly #counters = new Counters()
  readonly #batch: SendBatch
  readonly #payload: number

  constructor(own: Ipv4 | Ipv6, peer: Ipv4 | Ipv6, options: Partial<UnderlayOptions> = {}) {
    const remote = {
      subnet: parseCidr('10.5.2.0/24'),
      vni: 7,
      publicIp: peer,
      vtepMac: '02:00:00:00:00:0b',
      mtu: 1450,
    }
    const tables = { vtepMac: '02:00:00:00:00:0a', local: [], remote: [remote] }
    this.map = new SubnetMap(buildSubnetMap(tables))
    this.peer = this.map.peer(this.map.lookup(parseIpv4('10.5.2.1')))
    const now = (): number => performance.now()
    this.paths = new PathMtu(this.map, pathMtuProbe(this.memory, own, 8472), now)
    this.#sockets = open(own, options)
    this.sender = new UnderlaySender(
      {
        memory: this.memory,
        sockets: this.#sockets,
        port: 8472,
        counters: this.#counters,
        paths: this.paths,
        now,
      },
      this.map,
    )
    this.#batch = new SendBatch(this.memory, 0, this.sender.maxDatagram)
    this.#payload = this.memory.reserve(65_536)
  }

  /** Frames of those sizes. */
  send(...lengths: readonly number[]): SendBatch {
    const batch = this.#batch
    batch.clear()
    batch.begin(this.peer, 0, lengths[0]!)
    for (const length of lengths) {
      assert.ok(batch.segments === 0 || batch.takes(this.peer, 0, length), 'the batch is full')
      batch.add(this.#payload, length, 0, 0)
    }
    this.sender.send(batch)
    return batch
  }

  counted(): Partial<Record<CounterName, number>> {
    return Object.fromEntries(Object.entries(totalOf([this.#counters])).filter(([, n]) => n !== 0))
  }

  [Symbol.dispose](): void {
    closeUnderlay([this.#sockets])
  }
}

for (const { name, own, peer, headers, most } of FAMILIES) {
  describe(`over ${name}`, () => {
    test('the kernel takes the largest send that a batch takes, and nothing larger', () => {
      using host = new Sending(own, peer)
      const size = Math.ceil(most / MAX_SEGMENTS)
      const last = most - size * (MAX_SEGMENTS - 1)
      host.send(...Array<number>(MAX_SEGMENTS - 1).fill(size), last)
      assert.deepEqual(host.counted(), { tx_sendmsg: 1, tx_segments: MAX_SEGMENTS, tx_bytes: most })
      assert.equal(host.sender.maxDatagram, most)
    })

    for (const segmentation of ['on', 'off'] as const) {
      test(`a frame of the path MTU goes, one byte more is given back; segmentation ${segmentation}`, async () => {
        await sh('ip link set d0 mtu 1400')
        try {
          using host = new Sending(own, peer, { segmentation })
          const fits = 1400 - headers
          assert.equal(host.send(fits, fits, 500).refusedCount, 0)
          assert.equal(host.send(fits).refusedCount, 0)
          assert.equal(host.counted().tx_segments, 4)
          assert.equal(host.send(fits + 1).refusedCount, 1)
          assert.equal(host.send(fits + 1, fits + 1, 500).refusedCount, 3)
          const { tx_lost_error, tx_lost_backpressure, tx_gso_fallbacks } = host.counted()
          assert.deepEqual([tx_lost_error, tx_lost_backpressure], [undefined, undefined])
          assert.equal(tx_gso_fallbacks, undefined)
          assert.equal(
            host.paths.limitOf(host.peer),
            fits - 22,
            'less the VXLAN and Ethernet headers',
          )
        } finally {
          await sh('ip link set d0 mtu 1500')
        }
      })
    }

    test('the probe tells what the route says, the link if it says nothing', async () => {
      const ask = pathMtuProbe(new PacketMemory(65_536, addressOf), own, 8472)
      const route =
        typeof peer === 'bigint' ? '-6 route replace fd00:9::2' : 'route replace 10.9.9.2'
      assert.equal(ask(peer), 1500)
      await sh(`ip ${route} dev d0 mtu 1333`)
      try {
        assert.equal(ask(peer), 1333)
      } finally {
        await sh(`ip ${route.replace('replace', 'del')} dev d0`)
      }
      assert.equal(ask(peer), 1500)
      assert.equal(ask(typeof peer === 'bigint' ? parseIpv6('fd99::1') : parseIpv4('192.0.2.1')), 0)
    })

    test('a path that is chosen by the address it begins at is found as narrow as it is', async () => {
      const ip = typeof own === 'bigint' ? 'ip -6' : 'ip'
      const other = typeof own === 'bigint' ? 'fd00:9::7' : '10.9.9.7'
      const toPeer = `${formatIp(peer)} dev d0`
      // Without nodad an address of IPv6 is tentative for a moment even on lo, and no route's source.
      await sh(`ip link set lo up
        ip addr add ${other} dev lo nodad
        ${ip} route add ${toPeer} src ${other}
        ${ip} route add ${toPeer} mtu 1333 table 100
        ${ip} rule add from ${formatIp(own)} lookup 100`)
      try {
        using host = new Sending(own, peer)
        assert.equal(host.send(1334 - headers).refusedCount, 1)
        assert.equal(host.paths.limitOf(host.peer), 1333 - headers - 22)
      } finally {
        await sh(`${ip} rule del from ${formatIp(own)} lookup 100
          ${ip} route del ${toPeer} table 100
          ${ip} route del ${toPeer} src ${other}`)
      }
    })

    test('a queue that does not drain loses frames by count, and nothing else goes wrong', async () => {
      await sh('tc qdisc add dev d0 root tbf rate 8kbit burst 64kb limit 1gb')
      try {
        for (const segmentation of ['on', 'off'] as const) {
          using host = new Sending(own, peer, { segmentation })
          let frames = 0
          while ((host.counted().tx_lost_backpressure ?? 0) < 100) {
            assert.ok(frames < 1_000_000, 'the socket buffer has no end')
            host.send(...Array<number>(40).fill(1400))
            frames += 40
          }
          const { tx_segments, tx_lost_backpressure, tx_bytes, ...rest } = host.counted()
          assert.equal(tx_segments! + tx_lost_backpressure!, frames)
          assert.equal(tx_bytes, tx_segments! * 1400)
          assert.deepEqual(Object.keys(rest), ['tx_sendmsg'])
        }
      } finally {
        await sh('tc qdisc del dev d0 root')
      }
    })

    test('what the device’s queue drops is the device’s to count: the send succeeds', async () => {
      await sh('tc qdisc add dev d0 root handle 1: tbf rate 8kbit burst 2kb limit 3000')
      try {
        using host = new Sending(own, peer, { segmentation: 'off' })
        for (let round = 0; round < 100; round++) host.send(1400)
        assert.deepEqual(host.counted(), { tx_sendmsg: 100, tx_segments: 100, tx_bytes: 140_000 })
        assert.match(await sh('tc -s qdisc show dev d0'), /dropped [1-9]/)
      } finally {
        await sh('tc qdisc del dev d0 root')
      }
    })

    test('offloads are used as they are chosen', () => {
      const soundly = [segmentsSoundly(release()), joinsSoundly(release())]
      for (const [choice, expected] of [
        ['on', [true, true]],
        ['off', [false, false]],
        ['auto', soundly],
      ] as const) {
        const sockets = open(own, { segmentation: choice, receiveOffload: choice })
        assert.deepEqual([sockets.gso, sockets.gro], expected)
        assert.equal(sockets.isIpv6, typeof own === 'bigint')
        closeUnderlay([sockets])
      }
    })
  })
}

test('the same port of both families may be had at once', () => {
  const first = open(FAMILIES[0].own)
  const second = open(FAMILIES[1].own)
  closeUnderlay([first, second])
})

test('a port of IPv6 in use is refused with its owner, and an address of nobody with the reason', () => {
  const { own } = FAMILIES[1]
  const sockets = open(own)
  try {
    for (const workers of [1, 2]) {
      assert.throws(
        () => open(own, { workers }),
        new RegExp(`UDP port 8472 of fd00:9::1 is in use by "\\S+" \\(process ${process.pid}\\)`),
      )
    }
  } finally {
    closeUnderlay([sockets])
  }
  assert.throws(() => open(parseIpv6('fd00:9::99')), /fd00:9::99 is not an address of this machine/)
})

test('a datagram over IPv6 without a checksum never arrives', async () => {
  const { own } = FAMILIES[1]
  const sockets = open(own)
  const memory = new PacketMemory(65_536, addressOf)
  const [name, value, buffer] = [memory.reserve(28), memory.reserve(4), memory.reserve(100)]
  const sender = libc.socket(abi.AF_INET6, abi.SOCK_DGRAM, 0)
  const send = (checksum: boolean, first: number): void => {
    memory.words[value >>> 2] = Number(!checksum)
    const set = libc.setsockopt(sender, abi.SOL_UDP, UDP_NO_CHECK6_TX, memory.base + value, 4)
    assert.equal(set, 0)
    memory.bytes[buffer] = first
    assert.equal(libc.write(sender, memory.base + buffer, 100), 100)
  }
  try {
    const length = writeSockaddr(memory, name, own, 8472)
    assert.equal(libc.connect(sender, memory.base + name, length), 0)
    send(false, 1)
    send(true, 2)
    const arrived: number[] = []
    const read = (): number => {
      for (const fd of sockets.receive) {
        while (libc.read(fd, memory.base + buffer, 100) === 100) arrived.push(memory.bytes[buffer]!)
      }
      return arrived.length
    }
    // The kernel may leave it to a thread of its own (ksoftirqd) to deliver what is sent.
    await waitFor(read, { what: 'a datagram to arrive' })
    assert.deepEqual(arrived, [2])
  } finally {
    libc.close(sender)
    closeUnderlay([sockets])
  }
})

test('a socket on all addresses of both families is found as the owner too', async () => {
  await using socket = await anywhere()
  for (const { own } of FAMILIES) assert.throws(() => open(own, { port: socket.port }), /in use by/)
})

test('an address of IPv4 in IPv6’s clothes is refused: peers are of one family', () => {
  assert.throws(() => open(parseIpv6('::ffff:10.9.9.1')), /cannot bind .*: EINVAL/)
})

test('the peer’s number in the map leads to its address', () => {
  for (const { own, peer } of FAMILIES) {
    using host = new Sending(own, peer)
    const found = host.map.peerWith(peer)
    assert.equal(found, host.peer)
  }
})

async function anywhere(): Promise<AsyncDisposable & { port: number }> {
  const socket = createSocket('udp6')
  await new Promise<void>((resolve) => socket.bind(0, '::', resolve))
  return {
    port: socket.address().port,
    [Symbol.asyncDispose]: () => new Promise<void>((resolve) => void socket.close(() => resolve())),
  }
}
