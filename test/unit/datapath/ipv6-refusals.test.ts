import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { CounterName } from '../../../src/datapath/counters.ts'
import { parseIpv6 } from '../../../src/net/ipv6.ts'
import {
  naivePacket,
  type NaivePacket,
  PLAIN,
  PLAIN6,
  withVnet,
} from '../../support/naive-packets.ts'
import {
  dualTablesOf,
  HOST_A,
  MAC_A,
  MemoryForwarder,
  naiveFrame,
} from '../../support/naive-ports.ts'

const A = 'fd00:5:1::2'
const B = 'fd00:5:2::3'
const payload = Uint8Array.from({ length: 100 }, (_, index) => index)
const packet = (change: Partial<NaivePacket> = {}): Uint8Array =>
  naivePacket({ ...PLAIN6, payload, ...change })
const between = (source: string, destination: string): Uint8Array =>
  packet({ source: parseIpv6(source), destination: parseIpv6(destination) })

describe('a packet of IPv6 from containers', () => {
  const sent = (bytes: Uint8Array): MemoryForwarder => {
    const host = new MemoryForwarder(dualTablesOf('a'))
    host.fromContainers(withVnet({}, bytes))
    host.flush()
    return host
  }

  test('passes from a subnet of this host to one of another in the same overlay', () => {
    const host = sent(between(A, B))
    assert.deepEqual(host.frames(), [naiveFrame(between(A, B))])
    assert.deepEqual(host.counted(), { tun_packets: 1, tx_packets: 1, tx_frames: 1 })
  })

  for (const [what, name, bytes] of [
    ['to all nodes of a link', 'tx_drop_multicast', between(A, 'ff02::1')],
    ['to a group', 'tx_drop_multicast', between(A, 'ff0e::101')],
    ['from a link-local address', 'tx_drop_source', between('fe80::1', B)],
    ['from nobody', 'tx_drop_source', between('::', B)],
    ['from loopback', 'tx_drop_source', between('::1', B)],
    ['from an address of IPv4', 'tx_drop_source', between('::ffff:10.5.1.2', B)],
    ['from a stranger', 'tx_drop_source', between('fd00:99::2', B)],
    ['from another host', 'tx_drop_source', between('fd00:5:2::9', B)],
    ['to a link-local address', 'tx_drop_no_route', between(A, 'fe80::1')],
    ['to an address of IPv4', 'tx_drop_no_route', between(A, '::ffff:10.5.2.3')],
    ['to a stranger', 'tx_drop_no_route', between(A, 'fd00:99::2')],
    ['to this host', 'tx_drop_local', between(A, 'fd00:5:1::9')],
    ['to another overlay', 'tx_drop_overlay_mismatch', between(A, 'fd00:6:2::3')],
    ['cut by its last byte', 'tx_drop_malformed', between(A, B).slice(0, -1)],
    ['that goes on after its end', 'tx_drop_malformed', Uint8Array.of(...between(A, B), 0)],
    ['of no more than its version', 'tx_drop_malformed', Uint8Array.of(0x60, 0, 0, 0)],
  ] satisfies [string, CounterName, Uint8Array][]) {
    test(`${what} is dropped as ${name}`, () => {
      const host = sent(bytes)
      assert.deepEqual(host.counted(), { tun_packets: 1, [name]: 1 })
      assert.deepEqual(host.sent, [])
    })
  }
})

describe('a frame of IPv6 from the underlay', () => {
  const received = (frame: Uint8Array, source = HOST_A): MemoryForwarder => {
    const host = new MemoryForwarder(dualTablesOf('b'))
    host.fromUnderlay(frame, { source })
    host.flush()
    return host
  }

  test('passes from a subnet behind its sender to one of this host', () => {
    const host = received(naiveFrame(between(A, B)))
    assert.deepEqual(host.written, [withVnet({}, between(A, B))])
    assert.deepEqual(host.counted(), { rx_frames: 1, rx_packets: 1 })
  })

  const UNROUTABLE = ['::', '::1', '::10.5.1.2', '::ffff:10.5.1.2', 'fe80::1', 'febf::1', 'ff02::1']
  for (const [what, name, frame] of [
    ...UNROUTABLE.flatMap((address): [string, CounterName, Uint8Array][] => [
      [`from ${address}`, 'rx_drop_invalid_address', naiveFrame(between(address, B))],
      [`to ${address}`, 'rx_drop_invalid_address', naiveFrame(between(A, address))],
    ]),
    ['from a stranger', 'rx_drop_source', naiveFrame(between('fd00:99::2', B))],
    ['from one of our own', 'rx_drop_source', naiveFrame(between('fd00:5:2::9', B))],
    ['to a stranger', 'rx_drop_destination', naiveFrame(between(A, 'fd00:99::2'))],
    ['to one of the sender', 'rx_drop_destination', naiveFrame(between(A, 'fd00:5:1::9'))],
    ['into another overlay', 'rx_drop_vni_mismatch', naiveFrame(between(A, 'fd00:6:2::3'))],
    ['under the VNI of another', 'rx_drop_vni_mismatch', naiveFrame(between(A, B), { vni: 8 })],
    ['to another MAC', 'rx_drop_mac_destination', naiveFrame(between(A, B), { to: MAC_A })],
    [
      'from another MAC',
      'rx_drop_mac_source',
      naiveFrame(between(A, B), { from: '02:00:00:00:00:0c' }),
    ],
    ['called IPv4', 'rx_drop_malformed', naiveFrame(between(A, B), { type: 0x0800 })],
    [
      'that is of IPv4 inside',
      'rx_drop_malformed',
      naiveFrame(naivePacket({ ...PLAIN, payload }), { type: 0x86dd }),
    ],
    ['cut within its header', 'rx_drop_malformed', naiveFrame(between(A, B).slice(0, 39))],
    ['cut by its last byte', 'rx_drop_malformed', naiveFrame(between(A, B).slice(0, -1))],
    ['with a wrong checksum', 'rx_drop_checksum', naiveFrame(between(A, B).with(159, 0xff))],
  ] satisfies [string, CounterName, Uint8Array][]) {
    test(`${what} is dropped as ${name}`, () => {
      const host = received(frame)
      assert.deepEqual(host.counted(), { rx_frames: 1, [name]: 1 })
      assert.deepEqual(host.written, [])
    })
  }

  test('from no peer is dropped as rx_drop_unknown_source', () => {
    assert.equal(received(naiveFrame(between(A, B)), 1).counted().rx_drop_unknown_source, 1)
  })

  test('without a UDP checksum, which some tunnels leave out (RFC 6935), is its receiver’s to judge', () => {
    const bytes = packet({ protocol: 17 }).with(46, 0).with(47, 0)
    assert.deepEqual(received(naiveFrame(bytes)).written, [withVnet({}, bytes)])
  })
})
