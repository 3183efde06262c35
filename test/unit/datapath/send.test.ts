import assert from 'node:assert/strict'
import { test } from 'node:test'
import { COUNTER_NAMES, COUNTER, Counters, totalOf } from '../../../src/datapath/counters.ts'
import { passesUdpSuperPackets } from '../../../src/datapath/tun-probe.ts'
import {
  type NaivePacket,
  naivePacket,
  PLAIN,
  PLAIN6,
  superPacket,
  UDP,
  withVnet,
} from '../../support/naive-packets.ts'
import {
  dualTablesOf,
  HOST_B,
  MemoryForwarder,
  naiveFrame,
  tablesOf,
} from '../../support/naive-ports.ts'

function datagram(size: number, change: object = {}): Uint8Array {
  const packet = { ...PLAIN, protocol: UDP, payload: new Uint8Array(size), ...change }
  return withVnet({}, naivePacket(packet))
}

test('equal small frames of one flow leave in one send, a shorter one closes it', () => {
  const host = new MemoryForwarder(tablesOf('a'))
  for (const size of [100, 100, 100, 60, 100]) host.fromContainers(datagram(size))
  host.flush()
  assert.deepEqual(
    host.sent.map(({ frames }) => frames.length),
    [4, 1],
  )
  assert.ok(host.sent.every(({ destination }) => destination === HOST_B))
})

test('a larger frame, another mark and the 65th frame begin a new send', () => {
  const host = new MemoryForwarder(tablesOf('a'))
  host.fromContainers(datagram(100))
  host.fromContainers(datagram(101))
  host.fromContainers(datagram(101, { tos: 2 }))
  for (let count = 0; count < 65; count++) host.fromContainers(datagram(101, { tos: 1 }))
  host.flush()
  assert.deepEqual(
    host.sent.map(({ frames, tos }) => [frames.length, tos]),
    [
      [1, 0],
      [1, 0],
      [1, 2],
      [64, 1],
      [1, 1],
    ],
  )
})

test('a flow keeps its source port, and flows are spread over all of them', () => {
  const host = new MemoryForwarder(tablesOf('a'))
  const lanes = new Set<number>()
  for (let port = 0; port < 64; port++) {
    host.sent.length = 0
    for (let count = 0; count < 3; count++) {
      host.fromContainers(datagram(100 + count * 7, { sourcePort: port }))
    }
    host.flush()
    const [lane, ...others] = new Set(host.sent.map(({ lane }) => lane))
    assert.equal(others.length, 0)
    lanes.add(lane!)
  }
  assert.equal(lanes.size, 8)
})

test('counters are named once and summed over workers', () => {
  assert.equal(new Set(COUNTER_NAMES).size, COUNTER_NAMES.length)
  const workers = [new Counters(), new Counters()]
  for (const worker of workers) worker.add(COUNTER.tx_bytes, 5)
  workers[0]!.add(COUNTER.tun_reads)
  const total = totalOf(workers)
  assert.equal(total.tx_bytes, 10)
  assert.equal(total.tun_reads, 1)
  assert.equal(total.rx_bytes, 0)
})

test('UDP super-packets are written only where the kernel carries them on', () => {
  const expected = {
    '5.15.0-91-generic': false,
    '6.8.4-zabbly': false,
    '6.8.5': true,
    '6.12.9+deb13-amd64': true,
    '7.1.2': true,
  }
  for (const [kernel, answer] of Object.entries(expected)) {
    assert.equal(passesUdpSuperPackets(kernel), answer, kernel)
  }
})

/** A datagram whose sum comes out so that its checksum would be zero. */
function zeroSum(base: NaivePacket): NaivePacket {
  const packet = { ...base, protocol: UDP, payload: new Uint8Array(100) }
  const bytes = naivePacket(packet)
  packet.payload.set(bytes.slice(bytes.length - 102, bytes.length - 100))
  return packet
}

test('a UDP checksum that comes out as zero is sent as ffff', () => {
  for (const base of [PLAIN, PLAIN6]) {
    const packet = zeroSum(base)
    const expected = Buffer.from(naiveFrame(naivePacket(packet)))
    const header = expected.length - 22 - 108
    assert.equal(expected.readUInt16BE(22 + header + 6), 0xffff)

    const host = new MemoryForwarder(dualTablesOf('a'))
    const partial = naivePacket(packet, 'partial')
    host.fromContainers(withVnet({ flags: 1, csumStart: header, csumOffset: 6 }, partial))
    host.fromContainers(superPacket(packet, 1000))
    host.flush()
    assert.deepEqual(
      host.frames().map((bytes) => Buffer.from(bytes)),
      [expected, expected],
    )
  }
})
