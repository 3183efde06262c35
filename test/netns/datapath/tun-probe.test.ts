import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Netns } from '../../support/netns.ts'
import { carries } from './carries.ts'
import { ForwarderProcess, OWN, pings, TwoHosts } from './two-hosts.ts'

/** What the host has passed on or answered (/proc/net/snmp). */
const SENT = /^(ForwDatagrams|OutRequests|OutNoRoutes|OutMsgs|OutRsts|OutDatagrams) /

async function sentBy(host: Netns): Promise<string[]> {
  const lines = (await host.run('cat', '/proc/net/snmp')).trim().split('\n')
  return lines.flatMap((line, index) => {
    const values = lines[index + 1]?.split(' ') ?? []
    const names = index % 2 === 0 ? line.split(' ') : []
    return names.map((name, at) => `${name} ${values[at]}`).filter((text) => SENT.test(text))
  })
}

async function written(host: Netns): Promise<number> {
  const [link] = JSON.parse(await host.run('ip', '-s', '-j', 'link', 'show', 'ov-tun')) as [
    { stats64: { rx: { packets: number } } },
  ]
  return link.stats64.rx.packets
}

test('the probe writes a super-packet of each kind, which goes nowhere', async () => {
  await using hosts = await TwoHosts.create()
  await hosts.addTun('a')
  // The most open host there is.
  for (const setting of ['ip_forward=1', 'conf.all.route_localnet=1', 'conf.all.rp_filter=0']) {
    await hosts.a.run('sysctl', '-qw', `net.ipv4.${setting}`)
  }
  await hosts.a.run('ip', 'route', 'add', 'default', 'dev', 'u0')
  const before = await sentBy(hosts.a)
  await using a = await ForwarderProcess.start(hosts.a, hosts.setup('a'))
  const { capabilities } = await a.status()
  const after = await sentBy(hosts.a)
  assert.equal(await written(hosts.a), capabilities.udpCoalescing ? 4 : 2)
  assert.equal(before.length, 7)
  assert.deepEqual(after, before)
})

test('what the probe finds is told, on a device that is up and on one that is down', async () => {
  await using hosts = await TwoHosts.create()
  await hosts.addTun('a')
  const told = []
  for (const state of ['up', 'down']) {
    await hosts.a.run('ip', 'link', 'set', 'ov-tun', state)
    await using a = await ForwarderProcess.start(hosts.a, hosts.setup('a'))
    told.push((await a.status()).capabilities)
  }
  assert.deepEqual(told[1], told[0])
  assert.deepEqual(Object.keys(told[0]!), [
    'workers',
    'tunOffload',
    'tcpCoalescing',
    'udpCoalescing',
    'udpSegmentation',
    'udpReceiveOffload',
  ])
})

test('a kernel of today takes super-packets of TCP, and they are written', async () => {
  await using hosts = await TwoHosts.create()
  await using _a = await hosts.ours('a')
  await using b = await hosts.ours('b')
  assert.ok(await pings(hosts.a, OWN.b))
  assert.equal((await b.status()).capabilities.tcpCoalescing, true)
  await carries(hosts.a, hosts.b, OWN.b, { megabytes: 50 })
  assert.ok((await b.counters()).rx_coalesced > 0)
})
