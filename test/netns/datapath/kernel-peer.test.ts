import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { test } from 'node:test'
import type { Netns } from '../../support/netns.ts'
import { answersDatagrams } from './answers-datagrams.ts'
import { carries } from './carries.ts'
import { checksumErrors, NO_CHECKSUM_ERRORS, OWN, pings, programIn, TwoHosts } from './two-hosts.ts'

test('a kernel vxlan device with default offloads is a peer: ICMP, TCP and UDP, both directions', async () => {
  await using hosts = await TwoHosts.create()
  await using a = await hosts.ours('a')
  await hosts.kernel('b')
  assert.ok(await pings(hosts.a, OWN.b))
  assert.ok(await pings(hosts.b, OWN.a))
  assert.ok(await pings(hosts.b, OWN.a, '-s', '20000'), 'a packet in fragments')

  for (const options of [[], ['-R'], ['-R', '-M', '536']]) {
    await carries(hosts.a, hosts.b, OWN.b, { megabytes: 200 }, ...options)
  }
  await carries(hosts.a, hosts.b, OWN.b, { megabytes: 200, streams: 4 }, '-R')
  await answersDatagrams(hosts.a, hosts.b, OWN.b)

  for (const host of [hosts.a, hosts.b]) {
    assert.deepEqual(await checksumErrors(host), NO_CHECKSUM_ERRORS)
  }
  const counters = await a.counters()
  assert.ok(counters.rx_partial_checksums > 0, 'the kernel left checksums to a device')
  assert.equal(counters.rx_drop_checksum + counters.rx_drop_malformed, 0)
})

test('a peer without offloads, whose every checksum is complete, is a peer too', async () => {
  await using hosts = await TwoHosts.create()
  await using a = await hosts.ours('a')
  await hosts.kernel('b')
  const off = ['tx', 'off', 'tso', 'off', 'gso', 'off', 'gro', 'on']
  await hosts.b.run('ethtool', '-K', 'u0', ...off)
  for (const options of [[], ['-R']]) {
    await carries(hosts.a, hosts.b, OWN.b, { megabytes: 50 }, ...options)
  }
  assert.deepEqual(await checksumErrors(hosts.b), NO_CHECKSUM_ERRORS)
  assert.equal((await a.counters()).rx_drop_checksum, 0)
})

test('datagrams that a container hands to the kernel as one super-packet arrive one by one', async () => {
  await using hosts = await TwoHosts.create()
  await using a = await hosts.ours('a')
  await hosts.kernel('b')
  for (const [from, to, address] of [
    [hosts.b, hosts.a, OWN.a],
    [hosts.a, hosts.b, OWN.b],
  ] as const) {
    const sizes = await sendSuperDatagram(from, to, address)
    assert.deepEqual(sizes, [...Array.from({ length: 9 }, () => 1000), 500])
  }
  assert.equal((await a.counters()).rx_drop_malformed, 0)
  for (const host of [hosts.a, hosts.b]) {
    assert.deepEqual(await checksumErrors(host), NO_CHECKSUM_ERRORS)
  }
})

const SENDER = new URL('send-super-datagram.ts', import.meta.url).pathname
const LISTENER = `
  const socket = require('node:dgram').createSocket('udp4')
  socket.on('message', (message) => console.log(message.length))
  socket.bind(9999, () => console.log('listening'))`

/** Sends 9,500 bytes by UDP_SEGMENT of 1,000. @returns sizes of the datagrams that arrive */
async function sendSuperDatagram(from: Netns, to: Netns, address: string): Promise<number[]> {
  const listener = programIn(to, process.execPath, '-e', LISTENER)
  const ended = once(listener, 'exit')
  try {
    const lines = createInterface({ input: listener.stdout! })[Symbol.asyncIterator]()
    assert.equal((await lines.next()).value, 'listening')
    await from.run(process.execPath, SENDER, address, '9999')
    const sizes: number[] = []
    while (sizes.length < 10) sizes.push(Number((await lines.next()).value))
    return sizes
  } finally {
    listener.kill()
    await ended
  }
}
