import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { argv } from '../../lab/argv.ts'
import type { Container } from '../../lab/container.ts'
import { Lab } from '../../lab/lab.ts'
import { explainFailure } from '../support/lab.ts'
import { waitFor } from '../support/wait.ts'
import { untilAnswered } from './support/answers.ts'
import { difference, restingCounters } from './support/plugin-state.ts'

/** What hosts emit by themselves and no overlay carries: router solicitations and the like. */
const OWN_NOISE = ['tx_drop_multicast']

/**
 * Losses that a sender who outruns the receiver runs into, on any network: a full queue, counted by
 * name. TCP finds the rate that fits, so they stay far below one frame in a hundred.
 */
const FULL_QUEUES = ['tx_lost_backpressure', 'rx_queue_overflows']

const BYTES = 200_000_000

describe('bulk TCP between containers of two hosts', () => {
  let lab: Lab
  let [sender, receiver] = [] as Container[]
  let ip: string

  before(async () => {
    lab = await Lab.create({ hosts: ['96', '98'], plugin: 'before docker' })
    await explainFailure(lab, async () => {
      const ipam = argv`--ipam-driver overlay-ts --ipam-opt overlay=web`
      ;[sender, receiver] = await Promise.all(
        lab.hosts.map(async (host) => {
          await host.docker('network', 'create', '-d', 'overlay-ts', ...ipam, 'web')
          return host.run('bulk', { network: 'web' })
        }),
      )
      ip = await receiver!.ip()
      await untilAnswered(sender!, [ip])
      await receiver!.host.docker('exec', '-d', 'bulk', 'iperf3', '-s')
      await waitFor(() => sender!.exec('iperf3', '-c', ip, '-n', '1K'), {
        what: 'iperf3 to serve',
        timeout: 30_000,
      })
    })
  })
  after(async () => {
    await lab.remove()
  })

  test('what the kernel can do for the forwarder is in the state and among the metrics', () =>
    explainFailure(lab, async () => {
      const { host } = sender!
      const { datapath, tunQueue } = JSON.parse(await host.admin('/v1/state')) as {
        datapath: { workers: number; tcpCoalescing: boolean; shares: object[] }
        tunQueue: { qdisc: string; length: number }
      }
      assert.equal(datapath.tcpCoalescing, true)
      assert.equal(datapath.shares.length, datapath.workers)
      assert.equal(tunQueue.length, 1000)
      const metrics = await host.admin('/metrics')
      assert.match(metrics, /^overlay_ts_tun_queue_drops_total \d+$/m)
      const info = /^overlay_ts_datapath_info\{(.*)\} 1$/m.exec(metrics)?.[1] ?? ''
      for (const label of [
        `workers="${datapath.workers}"`,
        'tcp_coalescing="true"',
        `qdisc="${tunQueue.qdisc}"`,
        'queue_length="1000"',
      ]) {
        assert.ok(info.split(',').includes(label), `${label} in ${info}`)
      }
    }))

  for (const streams of [1, 4]) {
    test(`${streams} at a time: moves in super-packets, and every packet is accounted for`, () =>
      explainFailure(lab, async () => {
        const hosts = [sender!.host, receiver!.host]
        const before = await Promise.all(hosts.map(restingCounters))
        await sender!.exec(...argv`iperf3 -c ${ip} -P ${streams} -n ${BYTES}`)
        const after = await Promise.all(hosts.map(restingCounters))
        const [sent, got] = before.map((counters, index) => difference(counters, after[index]!))

        // iperf3 closes its connections without waiting for what is still queued.
        assert.ok(sent!.tun_read_bytes! > 0.9 * BYTES, `${sent!.tun_read_bytes} bytes read`)
        const perRead = sent!.tun_read_bytes! / sent!.tun_reads!
        assert.ok(perRead >= 16_384, `${perRead} bytes a read of the TUN`)
        const perSend = sent!.tx_segments! / sent!.tx_sendmsg!
        assert.ok(perSend >= 8, `${perSend} segments a sendmsg`)
        const perWrite = got!.tun_write_bytes! / got!.tun_writes!
        assert.ok(perWrite >= 16_384, `${perWrite} bytes a write to the TUN`)

        for (const changed of [sent!, got!]) {
          const losses = Object.entries(changed).filter(
            ([name]) =>
              /_drop_|_lost_|_error|overflows|fallbacks/.test(name) && !OWN_NOISE.includes(name),
          )
          const unexplained = losses.filter(([name]) => !FULL_QUEUES.includes(name))
          assert.deepEqual(unexplained, [])
          const lost = losses.reduce((sum, [, count]) => sum + count, 0)
          const frames = sent!.tx_segments!
          assert.ok(
            lost < frames / 100,
            `${lost} of ${frames} frames lost: ${JSON.stringify(losses)}`,
          )

          const dropped = (direction: 'tx' | 'rx'): number =>
            Object.entries(changed)
              .filter(([name]) => name.startsWith(`${direction}_drop_`))
              .reduce((sum, [, count]) => sum + count, 0)
          assert.equal(changed.tun_packets, changed.tx_packets! + dropped('tx'))
          assert.equal(changed.rx_frames, changed.rx_packets! + dropped('rx'))
        }
      }))
  }
})
