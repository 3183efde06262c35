import assert from 'node:assert/strict'
import { test } from 'node:test'
import { COUNTER_NAMES, type CounterName } from '../../../src/datapath/counters.ts'
import { parseIpv4 } from '../../../src/net/ipv4.ts'
import { FORGED_FRAMES } from '../../support/naive-forgeries.ts'
import {
  naivePacket,
  type NaivePacket,
  PLAIN,
  superPacket,
  UDP,
  withVnet,
} from '../../support/naive-packets.ts'
import { HOST_A, MemoryForwarder, naiveFrame, tablesOf } from '../../support/naive-ports.ts'

const payload = Uint8Array.from({ length: 100 }, (_, index) => index)
const packet = (change: Partial<NaivePacket> = {}): NaivePacket => ({
  ...PLAIN,
  payload,
  ...change,
})
const between = (source: string, destination: string): Uint8Array =>
  naivePacket(packet({ source: parseIpv4(source), destination: parseIpv4(destination) }))
const changed = (bytes: Uint8Array, at: number, value: number): Uint8Array => bytes.with(at, value)

/** One packet from the TUN of host A, for each reason to drop it. */
const FROM_CONTAINERS: Partial<Record<CounterName, Uint8Array>> = {
  tx_drop_malformed: withVnet({}, changed(naivePacket(packet()), 0, 0x44)),
  tx_drop_multicast: withVnet({}, between('10.5.1.2', '224.0.0.251')),
  tx_drop_source: withVnet({}, between('10.99.1.2', '10.5.2.3')),
  tx_drop_no_route: withVnet({}, between('10.5.1.2', '10.99.2.3')),
  tx_drop_local: withVnet({}, between('10.5.1.2', '10.5.1.3')),
  tx_drop_overlay_unknown: withVnet({}, between('10.7.1.2', '10.5.2.3')),
  tx_drop_overlay_mismatch: withVnet({}, between('10.5.1.2', '10.6.2.3')),
  tx_drop_too_big: withVnet({}, naivePacket(packet({ payload: new Uint8Array(1411) }))),
}

for (const [name, bytes] of Object.entries(FROM_CONTAINERS)) {
  test(`a packet from containers is dropped as ${name}`, () => {
    const host = new MemoryForwarder(tablesOf('a'))
    host.fromContainers(bytes)
    host.flush()
    const answered = name === 'tx_drop_too_big' ? { tx_icmp_too_big: 1 } : {}
    assert.deepEqual(host.counted(), { tun_packets: 1, [name]: 1, ...answered })
    assert.deepEqual(host.sent, [])
  })
}

for (const [name, { frame, source = HOST_A, tos = 0 }] of Object.entries(FORGED_FRAMES)) {
  test(`a frame from the underlay is dropped as ${name}`, () => {
    const host = new MemoryForwarder(tablesOf('b'))
    host.fromUnderlay(frame, { source, tos })
    host.flush()
    assert.deepEqual(host.counted(), { rx_frames: 1, [name]: 1 })
    assert.deepEqual(host.written, [])
  })
}

test('every reason to drop has a packet above that shows it', () => {
  const shown = new Set([...Object.keys(FROM_CONTAINERS), ...Object.keys(FORGED_FRAMES)])
  // What recvmsg says of a datagram decides, not the datagram: receive.test.ts shows the second.
  const byReceive = new Set(['rx_drop_truncated', 'rx_drop_uncut'])
  const drops = COUNTER_NAMES.filter((name) => name.includes('_drop_') && !byReceive.has(name))
  assert.deepEqual(
    drops.filter((name) => !shown.has(name)),
    [],
  )
})

test('nothing is forwarded before tables are known', () => {
  const host = new MemoryForwarder({ vtepMac: '00:00:00:00:00:00', local: [], remote: [] })
  host.fromContainers(withVnet({}, naivePacket(packet())))
  host.fromUnderlay(naiveFrame(naivePacket(packet())), { source: HOST_A })
  host.flush()
  assert.deepEqual([host.sent, host.written], [[], []])
})

test('new tables hold from the next packet on', () => {
  const host = new MemoryForwarder(tablesOf('a'))
  host.fromContainers(withVnet({}, naivePacket(packet())))
  host.use({ ...tablesOf('a'), remote: [] })
  host.fromContainers(withVnet({}, naivePacket(packet())))
  host.flush()
  assert.deepEqual(host.counted(), {
    tun_packets: 2,
    tx_packets: 1,
    tx_frames: 1,
    tx_drop_no_route: 1,
  })
})

test('the first address of a subnet, which is the host itself, sends and receives', () => {
  const bytes = between('10.5.1.0', '10.5.2.0')
  const [a, b] = [new MemoryForwarder(tablesOf('a')), new MemoryForwarder(tablesOf('b'))]
  a.fromContainers(withVnet({}, bytes))
  a.flush()
  b.fromUnderlay(a.frames()[0]!, { source: HOST_A })
  b.flush()
  assert.deepEqual(
    b.written.map((bytes) => Buffer.from(bytes)),
    [Buffer.from(withVnet({}, bytes))],
  )
})

for (const [name, header] of Object.entries({
  'an unknown type': { flags: 1, gsoType: 7, gsoSize: 500, csumStart: 20, csumOffset: 16 },
  'UDP fragmentation': { flags: 1, gsoType: 3, gsoSize: 500, csumStart: 20, csumOffset: 16 },
  'TCP over IPv6': { flags: 1, gsoType: 4, gsoSize: 500, csumStart: 20, csumOffset: 16 },
  'UDP in a TCP packet': { flags: 1, gsoType: 5, gsoSize: 500, csumStart: 20, csumOffset: 16 },
  'a segment size of zero': { flags: 1, gsoType: 1, gsoSize: 0, csumStart: 20, csumOffset: 16 },
  'a checksum before the packet': { flags: 1, csumStart: 0, csumOffset: 10 },
  'a checksum past the packet': { flags: 1, csumStart: 20, csumOffset: 119 },
})) {
  test(`a virtio header that claims ${name} is malformed`, () => {
    const host = new MemoryForwarder(tablesOf('a'))
    host.fromContainers(withVnet(header, naivePacket(packet())))
    host.flush()
    assert.deepEqual(host.counted(), { tun_packets: 1, tx_drop_malformed: 1 })
  })
}

test('TCP segments larger than the peer MTU are cut smaller, datagrams that may not be cut are dropped', () => {
  const large = { payload: new Uint8Array(4000) }
  const host = new MemoryForwarder(tablesOf('a', 1000))
  host.fromContainers(superPacket(packet(large), 1400))
  host.fromContainers(superPacket(packet({ ...large, protocol: UDP }), 1400))
  host.flush()
  assert.deepEqual(
    host.frames().map((frame) => frame.length - 22),
    [1000, 1000, 1000, 1000, 200],
  )
  assert.equal(host.counted().tx_drop_too_big, 1)
})

test('TCP whose headers alone are larger than the peer MTU is dropped', () => {
  const tcpOptions = new Uint8Array(40)
  for (const fragment of [0, 0x4000]) {
    const host = new MemoryForwarder(tablesOf('a', 80))
    host.fromContainers(superPacket(packet({ tcpOptions, fragment }), 50))
    host.flush()
    assert.equal(host.counted().tx_drop_too_big, 1)
    assert.deepEqual(host.sent, [])
  }
})
