import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { CounterName } from '../../../src/datapath/counters.ts'
import { parseIpv6 } from '../../../src/net/ipv6.ts'
import { Netns } from '../../support/netns.ts'
import type { ForwarderSetup } from '../../support/run-forwarder.ts'
import { eventually } from '../../support/wait.ts'
import { answersDatagrams } from './answers-datagrams.ts'
import { carries } from './carries.ts'
import { acquaint, macOf } from './links.ts'
import {
  checksumErrors,
  ForwarderProcess,
  type HostName,
  NO_CHECKSUM_ERRORS,
  OWN,
  pings,
  TwoHosts,
} from './two-hosts.ts'

const UNDERLAY6 = { a: 'fd00:9::1', b: 'fd00:9::2' }

/** A forwarder with something else than setup() says. */
async function ours(
  hosts: TwoHosts,
  name: HostName,
  options: Partial<ForwarderSetup>,
): Promise<ForwarderProcess> {
  await hosts.addTun(name)
  return ForwarderProcess.startUp(hosts[name], { ...hosts.setup(name), ...options })
}

/** A forwarder whose peer and own address are IPv6. The underlay carries 20 bytes more, so the MTU stays. */
async function over6(hosts: TwoHosts, name: HostName, workers = 1): Promise<ForwarderProcess> {
  const host = hosts[name]
  await host.run('ip', 'link', 'set', 'u0', 'mtu', '1520')
  await host.run('ip', 'addr', 'add', `${UNDERLAY6[name]}/64`, 'dev', 'u0', 'nodad')
  const other = name === 'a' ? 'b' : 'a'
  const mac = await macOf(hosts[other], 'u0')
  await acquaint(host, 'u0', { address: UNDERLAY6[other], mac })
  const peer = parseIpv6(UNDERLAY6[other])
  const { tables } = hosts.setup(name)
  return ours(hosts, name, {
    workers,
    bindIp: parseIpv6(UNDERLAY6[name]),
    tables: {
      ...tables,
      remote: tables.remote.map((remote) => ({ ...remote, publicIp: peer })),
    },
  })
}

/** What was lost, refused or done again. */
function mishaps(counters: Record<CounterName, number>): string[] {
  return Object.entries(counters)
    .filter(([, value]) => value > 0)
    .map(([name]) => name)
    .filter((name) => /_drop_(?!multicast)|_errors?$|_lost_|fallbacks|retried/.test(name))
}

/** A number of /proc/net/netstat or snmp6 by its name there. */
async function statistic(host: Netns, name: string): Promise<number> {
  const rows = (await host.run('cat', '/proc/net/netstat')).split('\n').map((row) => row.split(' '))
  const at = rows.findIndex((row) => row.includes(name))
  return Number(rows[at + 1]?.[rows[at]?.indexOf(name) ?? -1])
}

async function packetsSent(host: Netns): Promise<number> {
  const [link] = JSON.parse(await host.run('ip', '-j', '-s', 'link', 'show', 'u0')) as {
    stats64: { tx: { packets: number } }
  }[]
  return link!.stats64.tx.packets
}

test('two hosts reach each other over an IPv6 underlay, in super-packets', async () => {
  await using hosts = await TwoHosts.create()
  await using a = await over6(hosts, 'a')
  await using b = await over6(hosts, 'b')
  assert.ok(await pings(hosts.a, OWN.b))
  assert.ok(await pings(hosts.b, OWN.a))
  assert.ok(await pings(hosts.a, OWN.b, '-s', '1422'), 'a packet of exactly the MTU')
  assert.ok(await pings(hosts.a, OWN.b, '-s', '20000'), 'a packet in fragments')
  for (const options of [[], ['-R'], ['-M', '1397']]) {
    await carries(hosts.a, hosts.b, OWN.b, { megabytes: 200 }, ...options)
  }
  await carries(hosts.a, hosts.b, OWN.b, { megabytes: 200, streams: 4 })
  for (const forwarder of [a, b]) {
    const counters = await forwarder.counters()
    assert.ok(counters.tx_segments / counters.tx_sendmsg >= 2, 'frames are sent in batches')
    assert.ok(counters.rx_frames / counters.rx_recvmsg >= 2, 'and received in batches')
  }
  await answersDatagrams(hosts.a, hosts.b, OWN.b, { count: 4000 })
  for (const forwarder of [a, b]) assert.deepEqual(mishaps(await forwarder.counters()), [])
  for (const host of [hosts.a, hosts.b]) {
    assert.deepEqual(await checksumErrors(host), NO_CHECKSUM_ERRORS)
  }
})

test('several workers share an IPv6 port', async () => {
  await using hosts = await TwoHosts.create()
  await using a = await over6(hosts, 'a', 2)
  await using b = await over6(hosts, 'b', 2)
  await carries(hosts.a, hosts.b, OWN.b, { megabytes: 300, streams: 4 })
  assert.equal((await b.counters()).rx_drop_checksum, 0)
  assert.equal(await a.stop(), 0)
})

test('congestion marks pass into and out of the IPv6 traffic class', async () => {
  await using hosts = await TwoHosts.create()
  await using _a = await over6(hosts, 'a')
  await using b = await over6(hosts, 'b')
  for (const host of [hosts.a, hosts.b]) await host.run('sysctl', '-qw', 'net.ipv4.tcp_ecn=1')
  const rules = `table ip6 marks {
    counter capable {}
    chain in {
      type filter hook prerouting priority -300;
      udp dport 8472 ip6 ecn ect0 counter name "capable" ip6 ecn set ce
    }
  }`
  await hosts.b.run('nft', rules)
  await carries(hosts.a, hosts.b, OWN.b, { megabytes: 20 })
  assert.match(await hosts.b.run('nft', 'list', 'counters'), /packets [1-9]/, 'ECT(0) outside')
  assert.ok((await statistic(hosts.b, 'InCEPkts')) > 0, 'CE inside')
  assert.equal((await b.counters()).rx_drop_ecn, 0)

  await hosts.b.run('nft', 'flush', 'chain', 'ip6', 'marks', 'in')
  await hosts.b.run('nft', 'add rule ip6 marks in udp dport 8472 ip6 ecn set ce')
  assert.ok(!(await pings(hosts.a, OWN.b, '-W', '1')), 'a marked packet that knows no marks')
  await eventually(async () => assert.ok((await b.counters()).rx_drop_ecn > 0), {
    what: 'it to be counted',
  })
})

test('a stranger’s frames over IPv6 are dropped as such', async () => {
  await using hosts = await TwoHosts.create()
  await using _a = await over6(hosts, 'a')
  await using b = await over6(hosts, 'b')
  assert.ok(await pings(hosts.a, OWN.b))
  const before = await b.counters()
  await hosts.a.run('ip', 'addr', 'add', 'fd00:9::66/64', 'dev', 'u0', 'nodad')
  const send = `require('node:dgram').createSocket('udp6').bind({address: 'fd00:9::66'}, function () {
    this.send(Buffer.alloc(100), 8472, '${UNDERLAY6.b}', () => this.close()) })`
  await hosts.a.run(process.execPath, '-e', send)
  // It comes to another socket than the peer's frames, which say nothing of when it has arrived.
  await eventually(
    async () => {
      const { rx_drop_unknown_source } = await b.counters()
      assert.equal(rx_drop_unknown_source, before.rx_drop_unknown_source + 1)
    },
    { what: 'it to be counted' },
  )
  assert.ok(await pings(hosts.a, OWN.b))
})

test('without any offload of UDP every frame is a datagram of its own, and all arrive', async () => {
  await using hosts = await TwoHosts.create()
  const plain = { udpSegmentation: 'off', udpReceiveOffload: 'off' } as const
  await using a = await ours(hosts, 'a', plain)
  await using b = await ours(hosts, 'b', plain)
  const before = await packetsSent(hosts.a)
  assert.ok(await pings(hosts.a, OWN.b, '-s', '20000'))
  await carries(hosts.a, hosts.b, OWN.b, { megabytes: 100 })
  await carries(hosts.a, hosts.b, OWN.b, { megabytes: 100, streams: 4 })
  const { tx_segments, tx_sendmsg } = await a.counters()
  assert.ok((await packetsSent(hosts.a)) - before >= tx_segments, 'one packet on the link each')
  // Of data alone, which is super-packets: what acknowledges data goes by itself.
  assert.ok(tx_segments / tx_sendmsg >= 4, 'many datagrams a call')
  await carries(hosts.a, hosts.b, OWN.b, { megabytes: 100 }, '-R')
  for (const forwarder of [a, b]) {
    const counters = await forwarder.counters()
    assert.deepEqual(mishaps(counters), [])
    assert.equal(counters.rx_frames, counters.rx_recvmsg, 'one datagram a receive')
  }
  for (const host of [hosts.a, hosts.b]) {
    assert.deepEqual(await checksumErrors(host), NO_CHECKSUM_ERRORS)
  }
})

for (const [one, other] of [
  [{ udpSegmentation: 'off' }, {}],
  [{ udpReceiveOffload: 'off' }, {}],
] as const) {
  test(`a host with ${Object.keys(one)[0]} off and one without understand each other`, async () => {
    await using hosts = await TwoHosts.create()
    await using a = await ours(hosts, 'a', one)
    await using b = await ours(hosts, 'b', other)
    for (const options of [[], ['-R']]) {
      await carries(hosts.a, hosts.b, OWN.b, { megabytes: 50 }, ...options)
    }
    for (const forwarder of [a, b]) assert.deepEqual(mishaps(await forwarder.counters()), [])
  })
}

test('tables of any size come and go under a TCP stream, and no packet meets half of one', async () => {
  await using hosts = await TwoHosts.create()
  await using a = await hosts.ours('a', 2)
  await using b = await hosts.ours('b', 2)
  const { tables } = hosts.setup('a')
  const more = Array.from({ length: 5000 }, (_, index) => ({
    ...tables.remote[0]!,
    subnet: { base: 0x0b00_0000 + index * 256, length: 24 },
    publicIp: 0x0a09_0a00 + index,
  }))
  // A second stream where the machine had no time for changes during the first.
  for (let changes = 0; changes < 4;) {
    const ended = new AbortController()
    const stream = carries(hosts.a, hosts.b, OWN.b, { megabytes: 300 })
    const end = (): void => ended.abort()
    void stream.then(end, end)
    for (; !ended.signal.aborted; changes++) {
      // In another order too, so that every entry and peer has another number.
      const remote = changes % 2 ? tables.remote : [...more, ...tables.remote.toReversed()]
      await a.program({ ...tables, remote })
    }
    await stream
  }
  for (const forwarder of [a, b]) assert.deepEqual(mishaps(await forwarder.counters()), [])
})

for (const [family, start, route] of [
  ['IPv4', (hosts, name) => hosts.ours(name), ['route', 'add', '10.9.9.2', 'dev', 'u0']],
  ['IPv6', over6, ['-6', 'route', 'add', UNDERLAY6.b, 'dev', 'u0']],
] as const satisfies readonly [
  string,
  (hosts: TwoHosts, name: HostName) => Promise<ForwarderProcess>,
  readonly string[],
][]) {
  test(`a path over ${family} that becomes smaller under a TCP stream costs it nothing`, async () => {
    await using hosts = await TwoHosts.create()
    await using a = await start(hosts, 'a')
    await using b = await start(hosts, 'b')
    assert.ok(await pings(hosts.a, OWN.b, '-s', '1422'))
    await hosts.a.run('ip', ...route, 'mtu', '1300')
    await carries(hosts.a, hosts.b, OWN.b, { megabytes: 50 })
    // TCP was cut without a word: the first packet that must not be cut is lost, and its sender told.
    await eventually(async () => assert.ok(await pings(hosts.a, OWN.b, '-s', '1422', '-W', '1')), {
      what: 'the sender to fragment',
    })
    const counters = await a.counters()
    assert.ok(counters.tx_retried > 0, 'the frames that found out were sent again')
    assert.equal(counters.tx_lost_too_big, 0)
    assert.deepEqual(mishaps(await b.counters()), [])
  })
}

test('a router far away that says over IPv6 what its next link carries is heard', async () => {
  await using hosts = await TwoHosts.create()
  await using router = await Netns.create('router')
  await hosts.a.run('ip', 'link', 'del', 'u0')
  await router.run('sysctl', '-qw', 'net.ipv6.conf.all.forwarding=1')
  for (const name of ['a', 'b'] as const) {
    const near = `fd00:9::${name}1`
    const peer = UNDERLAY6[name === 'a' ? 'b' : 'a']
    const host = hosts[name]
    await router.run(
      ...`ip link add to-${name} mtu 1520 type veth peer name u0 netns ${host.name}`.split(' '),
    )
    for (const [netns, line] of [
      [router, `addr add ${near}/128 dev to-${name} nodad`],
      [router, `link set to-${name} up`],
      [router, `-6 route add ${UNDERLAY6[name]} dev to-${name}`],
      [host, 'link set u0 up'],
      [host, `-6 route add ${near} dev u0`],
      [host, `-6 route add ${peer} via ${near} dev u0`],
    ] as const) {
      await netns.run('ip', ...line.split(' '))
    }
  }
  await using a = await over6(hosts, 'a')
  await using b = await over6(hosts, 'b')
  await eventually(async () => assert.ok(await pings(hosts.a, OWN.b, '-s', '1422')), {
    what: 'the way through the router',
  })
  for (const [netns, link] of [
    [router, 'to-b'],
    [hosts.b, 'u0'],
  ] as const) {
    await netns.run('ip', 'link', 'set', link, 'mtu', '1400')
  }
  await carries(hosts.a, hosts.b, OWN.b, { megabytes: 50 })
  const route = await hosts.a.run('ip', '-6', 'route', 'get', UNDERLAY6.b)
  assert.match(route, /mtu 1400/, 'what the kernel was told')
  const counters = await a.counters()
  assert.ok(counters.tx_retried > 0)
  assert.deepEqual([counters.tx_lost_too_big, counters.tx_lost_error], [0, 0])
  assert.deepEqual(mishaps(await b.counters()), [])
})
