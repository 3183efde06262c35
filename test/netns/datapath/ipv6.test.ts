import assert from 'node:assert/strict'
import { createInterface } from 'node:readline'
import { describe, test } from 'node:test'
import { endProgram } from '../../support/end-program.ts'
import type { Netns } from '../../support/netns.ts'
import { eventually, waitFor } from '../../support/wait.ts'
import { answersDatagrams } from './answers-datagrams.ts'
import { carries } from './carries.ts'
import { DualHosts, OTHER, OWN, OWN4, UNDERLAYS } from './dual-hosts.ts'
import { lossOf } from './losses.ts'
import { type ForwarderProcess, pings, programIn } from './two-hosts.ts'

const SUPER_DATAGRAM = new URL('send-super-datagram.ts', import.meta.url).pathname

/** Packets of IPv6 and TCP that the host refused for their checksum. */
async function checksumErrors(host: Netns): Promise<string[]> {
  const lines = (await host.run('cat', '/proc/net/snmp6')).split('\n')
  const snmp = (await host.run('cat', '/proc/net/snmp')).split('\n')
  const tcp = snmp.filter((line) => line.startsWith('Tcp:')).map((line) => line.split(' '))
  const ofTcp = tcp[1]![tcp[0]!.indexOf('InCsumErrors')]
  return [
    ...lines.filter((line) => /InCsumErrors\s+[1-9]/.test(line)),
    ...(ofTcp === '0' ? [] : [`Tcp ${ofTcp}`]),
  ]
}

const LISTENER = `
  const socket = require('node:dgram').createSocket('udp6')
  socket.on('message', (message, from) => console.log(message.length + ' from ' + from.address))
  socket.bind(9999, () => console.log('listening'))`

/** Sends 9,500 bytes by UDP_SEGMENT of 1,000. @returns what arrives, with its source */
async function sendSuperDatagram(from: Netns, to: Netns, address: string): Promise<string[]> {
  const listener = programIn(to, process.execPath, '-e', LISTENER)
  try {
    const lines: string[] = []
    createInterface({ input: listener.stdout! }).on('line', (line) => lines.push(line))
    await waitFor(() => lines[0] === 'listening', { what: 'the listener' })
    await from.run(process.execPath, SUPER_DATAGRAM, address, '9999')
    await eventually(() => assert.equal(lines.length, 11, `it said ${lines.join(', ')}`), {
      what: `ten datagrams at ${address}`,
    })
    return lines.slice(1)
  } finally {
    await endProgram(listener)
  }
}

/** ICMP of every size, bulk TCP, single datagrams and super-datagrams from each to each. */
async function tryAll(hosts: DualHosts): Promise<void> {
  for (const name of ['a', 'b'] as const) {
    const other = OTHER[name]
    const [from, to] = [hosts.host(name), hosts.host(other)]
    const whole = String(hosts.mtu - 48)
    assert.ok(await pings(from, OWN[other]))
    assert.ok(await pings(from, OWN[other], '-s', whole), 'a packet of exactly the MTU')
    assert.ok(await pings(from, OWN[other], '-s', '20000'), 'a packet in fragments')
    assert.ok(await pings(from, OWN4[other], '-s', '20000'), 'IPv4 beside it')
    assert.deepEqual(await sendSuperDatagram(from, to, OWN[other]), [
      ...Array<string>(9).fill(`1000 from ${OWN[name]}`),
      `500 from ${OWN[name]}`,
    ])
    await answersDatagrams(from, to, OWN[other])
    for (const address of [OWN[other], OWN4[other]]) {
      await carries(from, to, address, { megabytes: 50 })
    }
  }
  for (const name of ['a', 'b'] as const) {
    assert.deepEqual(await checksumErrors(hosts.host(name)), [])
  }
}

/** Drops other than the router solicitations and reports that a host sends on every link. */
async function dropsOf(forwarder: ForwarderProcess): Promise<object> {
  const { tx_drop_multicast: _, ...drops } = lossOf(await forwarder.counters())
  return drops
}

for (const underlay of UNDERLAYS) {
  describe(`IPv6 over ${underlay.family}`, () => {
    test('two hosts of ours reach each other by ICMP, TCP and UDP', async () => {
      await using hosts = await DualHosts.create(underlay)
      const forwarders = [await hosts.ours('a'), await hosts.ours('b')]
      await tryAll(hosts)
      for (const forwarder of forwarders) {
        assert.deepEqual(await dropsOf(forwarder), {})
        const counters = await forwarder.counters()
        assert.ok(counters.rx_coalesced / counters.tun_writes > 2, 'segments were joined')
        assert.ok(counters.tx_segments / counters.tx_sendmsg > 2, 'frames were sent together')
        assert.equal(counters.tx_gso_fallbacks, 0)
      }
    })

    test('a kernel vxlan device is a peer', async () => {
      await using hosts = await DualHosts.create(underlay)
      const forwarder = await hosts.ours('a')
      await hosts.kernel('b')
      await tryAll(hosts)
      assert.deepEqual(await dropsOf(forwarder), {})
      assert.ok((await forwarder.counters()).rx_partial_checksums > 0)
    })

    test('TCP and the senders of datagrams learn that the path has become narrow', async () => {
      await using hosts = await DualHosts.create(underlay)
      const forwarder = await hosts.ours('a')
      await hosts.ours('b')
      assert.ok(await pings(hosts.host('a'), OWN.b))
      const narrow = hosts.mtu - 100
      for (const name of ['a', 'b'] as const) await hosts.ip(name, 'link set u0 mtu 1400')
      await carries(hosts.host('a'), hosts.host('b'), OWN.b, { megabytes: 100 })
      const counters = await forwarder.counters()
      assert.ok(counters.tx_retried > 0)
      assert.equal(counters.tx_lost_too_big, 0)

      await eventually(
        async () => {
          await pings(hosts.host('a'), OWN.b, '-s', String(hosts.mtu - 48), '-W', '1')
          const route = await hosts.host('a').run('ip', '-6', 'route', 'get', OWN.b)
          assert.match(route, new RegExp(`mtu ${narrow}\\b`))
        },
        { what: 'the sender to be told' },
      )
      assert.ok((await forwarder.counters()).tx_icmp_too_big > 0)
      // The other end is told by an answer of its own that is lost.
      await eventually(
        async () => assert.ok(await pings(hosts.host('a'), OWN.b, '-s', '5000', '-W', '1')),
        { what: 'both to send fragments that fit' },
      )
    })
  })
}
