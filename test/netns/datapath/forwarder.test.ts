import assert from 'node:assert/strict'
import { test } from 'node:test'
import { endProgram } from '../../support/end-program.ts'
import { tablesOf } from '../../support/naive-ports.ts'
import { eventually, waitFor } from '../../support/wait.ts'
import { answersDatagrams } from './answers-datagrams.ts'
import { carries, untilListening } from './carries.ts'
import {
  checksumErrors,
  ForwarderProcess,
  NO_CHECKSUM_ERRORS,
  OWN,
  pings,
  programIn,
  TwoHosts,
} from './two-hosts.ts'

test('two hosts reach each other in each overlay, by ICMP, TCP and UDP', async () => {
  await using hosts = await TwoHosts.create()
  await using a = await hosts.ours('a')
  await using b = await hosts.ours('b')
  assert.ok(await pings(hosts.a, OWN.b))
  assert.ok(await pings(hosts.b, OWN.a))
  assert.ok(await pings(hosts.a, '10.6.2.0', '-I', '10.6.1.0'))
  assert.ok(await pings(hosts.a, OWN.b, '-s', '1422'), 'a packet of exactly the MTU')
  assert.ok(await pings(hosts.a, OWN.b, '-s', '20000'), 'a packet in fragments')

  for (const options of [[], ['-R'], ['-M', '1397']]) {
    await carries(hosts.a, hosts.b, OWN.b, { megabytes: 200 }, ...options)
  }
  await carries(hosts.a, hosts.b, OWN.b, { megabytes: 200, streams: 4 })
  await answersDatagrams(hosts.a, hosts.b, OWN.b)

  for (const forwarder of [a, b]) {
    const counters = await forwarder.counters()
    const wrong = Object.entries(counters).filter(
      ([name, value]) =>
        value > 0 && /_drop_(?!multicast)|_error|lost_too_big|fallbacks/.test(name),
    )
    assert.deepEqual(wrong, [])
  }
  for (const host of [hosts.a, hosts.b]) {
    assert.deepEqual(await checksumErrors(host), NO_CHECKSUM_ERRORS)
  }
})

test('bulk TCP moves in super-packets: at least 16 KB a read, 8 segments a send', async () => {
  await using hosts = await TwoHosts.create()
  await using a = await hosts.ours('a')
  await using b = await hosts.ours('b')
  await carries(hosts.a, hosts.b, OWN.b, { megabytes: 1024 })
  const [sender, receiver] = [await a.counters(), await b.counters()]
  const perRead = sender.tun_read_bytes / sender.tun_reads
  const perSend = sender.tx_segments / sender.tx_sendmsg
  const perWrite = receiver.rx_coalesced / receiver.tun_writes
  assert.ok(perRead >= 16_384, `${perRead} bytes a read`)
  assert.ok(perSend >= 8, `${perSend} segments a send`)
  assert.ok(perWrite >= 8, `${perWrite} segments a write`)
})

test('several workers share the device and the port, and streams stay whole', async () => {
  await using hosts = await TwoHosts.create()
  await using a = await hosts.ours('a', 2)
  await using b = await hosts.ours('b', 2)
  assert.ok(await pings(hosts.a, OWN.b))
  await carries(hosts.a, hosts.b, OWN.b, { megabytes: 500, streams: 4 })
  assert.equal((await b.counters()).rx_drop_checksum, 0)
  assert.equal(await a.stop(), 0)
})

test('tables are replaced under traffic', async () => {
  await using hosts = await TwoHosts.create()
  await using a = await hosts.ours('a')
  await using _b = await hosts.ours('b')
  assert.ok(await pings(hosts.a, OWN.b))
  await a.program({ ...tablesOf('a'), remote: [] })
  await eventually(
    async () => {
      assert.ok(!(await pings(hosts.a, OWN.b, '-W', '1')))
      assert.ok((await a.counters()).tx_drop_no_route > 0)
    },
    { what: 'the peer to be forgotten' },
  )
  await a.program(tablesOf('a'))
  await waitFor(() => pings(hosts.a, OWN.b), { what: 'the peer to be known again' })
})

test('the device survives kill -9, and a TCP connection lives on with the next process', async () => {
  await using hosts = await TwoHosts.create()
  const first = await hosts.ours('a')
  await using b = await hosts.ours('b')
  await using programs = new AsyncDisposableStack()
  programs.adopt(programIn(hosts.b, 'iperf3', '-s', '-i', '0', '-B', OWN.b), endProgram)
  await untilListening(hosts.b)
  const unending = programIn(hosts.a, 'iperf3', '-c', OWN.b, '-i', '0', '-t', '0')
  programs.adopt(unending, endProgram)
  await waitFor(async () => (await b.counters()).rx_packets > 1000, { what: 'data to flow' })
  await first.kill()
  assert.match(await hosts.a.run('ip', 'link', 'show', 'ov-tun'), /ov-tun/)
  await using second = await ForwarderProcess.start(hosts.a, hosts.setup('a'))
  // TCP tries again after a time that doubles. It is the same connection: iperf3 ends with the one it made.
  await waitFor(async () => (await second.counters()).tx_bytes > 10e6, {
    what: 'data to flow again',
    timeout: 120_000,
  })
  assert.deepEqual([unending.exitCode, unending.signalCode], [null, null])
})

test('a port in use is refused with the name of its owner and the way out', async () => {
  await using hosts = await TwoHosts.create()
  await using _a = await hosts.ours('a')
  for (const workers of [1, 2]) {
    await assert.rejects(
      ForwarderProcess.start(hosts.a, hosts.setup('a', workers)),
      /UDP port 8472 of 10\.9\.9\.1 is in use by "\S+" \(process \d+\).*VXLAN_PORT/,
    )
  }
  await hosts.kernel('b')
  await assert.rejects(
    ForwarderProcess.start(hosts.b, hosts.setup('b')),
    /in use by the kernel \(see "ip -d link show type vxlan"\)/,
  )
})

test('a device that is not there, or of another kind, is refused and not made', async () => {
  await using hosts = await TwoHosts.create()
  await assert.rejects(
    ForwarderProcess.start(hosts.a, hosts.setup('a')),
    /there is no network device ov-tun/,
  )
  assert.ok(!(await hosts.a.succeeds('ip', 'link', 'show', 'ov-tun')))
  await hosts.a.run('ip', 'tuntap', 'add', 'dev', 'ov-tun', 'mode', 'tun')
  await assert.rejects(
    ForwarderProcess.start(hosts.a, hosts.setup('a')),
    /cannot attach to the TUN ov-tun: EINVAL, it is not a TUN made with/,
  )
})

test('a device that is deleted ends the forwarder with the reason', async () => {
  await using hosts = await TwoHosts.create()
  await using a = await hosts.ours('a')
  await hosts.a.run('ip', 'link', 'del', 'ov-tun')
  assert.match(await a.ended(), /the forwarder ended: reading the TUN device failed/)
})

test('stopping closes the port and leaves the device', async () => {
  await using hosts = await TwoHosts.create()
  await using a = await hosts.ours('a')
  assert.equal(await a.stop(), 0)
  assert.equal(await hosts.a.run('ss', '-uanH'), '')
  assert.match(await hosts.a.run('ip', 'link', 'show', 'ov-tun'), /ov-tun/)
})
