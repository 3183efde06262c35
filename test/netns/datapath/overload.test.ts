import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Netns } from '../../support/netns.ts'
import { eventually } from '../../support/wait.ts'
import { LoadSink, LoadSource } from './load.ts'
import { linkDropsOf, lossOf } from './losses.ts'
import { Sites } from './sites.ts'
import { pings, pingsOnce } from './two-hosts.ts'

async function queueDropsOf(netns: Netns, device: string): Promise<number> {
  const [queue] = JSON.parse(await netns.run('tc', '-s', '-j', 'qdisc', 'show', 'dev', device)) as [
    { readonly drops?: number },
  ]
  return queue.drops ?? 0
}

/** Datagrams that found the buffer of their socket full. */
async function socketDropsOf(netns: Netns): Promise<number> {
  const text = await netns.run('cat', '/proc/net/snmp')
  const [names, values] = text.split('\n').filter((line) => line.startsWith('Udp:')) as [
    string,
    string,
  ]
  return Number(values.split(' ')[names.split(' ').indexOf('RcvbufErrors')])
}

const sum = (counts: Readonly<Record<string, number>>): number =>
  Object.values(counts).reduce((total, count) => total + count, 0)

test('each packet that does not arrive is counted, once, by name', async (t) => {
  await using sites = await Sites.create('a', 'b')
  const middle = await sites.wireSwitch()
  const ofA = await sites.ours('a')
  const ofB = await sites.ours('b')
  const [a, b] = [sites.site('a'), sites.site('b')]
  // The kernel counts a super-frame that it drops as one, so there are to be none.
  await a.host.run('ethtool', '-K', 'u0', 'tx-udp-segmentation', 'off')
  await a.host.run('ip', 'link', 'set', 'ov-tun', 'txqueuelen', '16')
  await using source = await LoadSource.start(a)
  await using sink = await LoadSink.start(b)
  let [sent, received] = [0, 0]
  const sendOn = async (): Promise<void> => {
    sent += (await source.send(b, { size: 1400, rate: 40_000, milliseconds: 1000 })).sent
  }

  assert.ok(await pings(a.container, b.address()))

  /** Of a ping that is lost too, there is a count. */
  const untilAnswered = (): Promise<void> =>
    eventually(
      async () => {
        sent++
        // One that is slow counts as lost here and as received there: the wait is longer than any queue.
        assert.ok(await pingsOnce(a.container, b.address(), '-W', '30'))
        received++
      },
      { what: 'the way to be free again', timeout: 120_000 },
    )

  // A device that takes so little that what it holds of a socket is all the socket may have.
  const shape = (verb: string, rate: string): Promise<string> => {
    const words = ['rate', rate, 'burst', '64kb', 'limit', '64mb']
    return a.host.run('tc', 'qdisc', verb, 'dev', 'u0', 'root', 'tbf', ...words)
  }
  await shape('add', '1mbit')
  await eventually(
    async () => {
      await sendOn()
      assert.ok((await ofA.counters()).tx_lost_backpressure > 0)
    },
    { what: 'the socket to be full', timeout: 30_000 },
  )
  // Not at once: the kernel's queue of a processor, which all that runs on the machine shares, is short.
  await shape('change', '500mbit')
  await untilAnswered()

  // A forwarder that is held up long enough for its socket's buffer to overflow.
  process.kill(ofB.pid, 'SIGSTOP')
  await eventually(
    async () => {
      await sendOn()
      assert.ok((await socketDropsOf(b.host)) > 0)
    },
    { what: "the socket's buffer to overflow", timeout: 60_000 },
  )
  process.kill(ofB.pid, 'SIGCONT')
  // A link on the way that is slow.
  const slow = ['rate', '20mbit', 'burst', '32kb', 'limit', '64kb']
  await middle.run('tc', 'qdisc', 'add', 'dev', 'port-b', 'root', 'tbf', ...slow)
  await eventually(
    async () => {
      await sendOn()
      assert.ok((await queueDropsOf(middle, 'port-b')) > 0)
    },
    { what: "the link's queue to be full", timeout: 60_000 },
  )
  await untilAnswered()

  /** Of both directions: the answer to a ping may be lost as well. */
  const vethDrops = async (): Promise<number> => {
    const ports = ['port-a', 'port-b'].map((port) => [middle, port] as const)
    const own = [a, b].flatMap(
      ({ host, container }) =>
        [
          [container, 'eth0'],
          [host, 'v0'],
          [host, 'u0'],
        ] as const,
    )
    let drops = 0
    for (const end of [...ports, ...own]) drops += await linkDropsOf(...end)
    return drops
  }
  await eventually(
    async () => {
      const heard = await sink.heard()
      received += heard.received
      assert.equal(heard.duplicates, 0)
      const drops = {
        tun: await linkDropsOf(a.host, 'ov-tun'),
        ...lossOf(await ofA.counters()),
        link: (await queueDropsOf(a.host, 'u0')) + (await queueDropsOf(middle, 'port-b')),
        ...lossOf(await ofB.counters()),
        veth: await vethDrops(),
        socket: await socketDropsOf(b.container),
      }
      assert.equal(received + sum(drops), sent, JSON.stringify({ received, ...drops }))
      for (const name of ['tun', 'tx_lost_backpressure', 'link', 'rx_queue_overflows'] as const) {
        assert.ok(drops[name]! > 0, `${name} lost nothing`)
      }
      assert.ok(received > 0)
      t.diagnostic(JSON.stringify({ sent, received, ...drops }))
    },
    { what: 'the sums to agree', timeout: 60_000 },
  )
})

const DATAGRAM = 1200
/** So many at once that the one who sends them is not the one who is slow. */
const TOGETHER = 20
const ROUNDS = 5
/** So long nothing comes when no more is on its way. */
const SILENCE_MS = 500
const LOOK_MS = 50

test('twice what can be carried is carried no worse, and afterwards nothing is lost again', async (t) => {
  await using sites = await Sites.create('a', 'b')
  await sites.wirePair()
  await sites.ours('a')
  await sites.ours('b')
  const [a, b] = [sites.site('a'), sites.site('b')]
  await using source = await LoadSource.start(a)
  await using sink = await LoadSink.start(b)
  assert.ok(await pings(a.container, b.address()))

  /** Datagrams a second that were sent and that arrived, of those of one run. */
  const run = async (rate: number): Promise<{ sent: number; received: number }> => {
    const load = { size: DATAGRAM, together: TOGETHER, rate, milliseconds: 500 }
    const { sent, milliseconds } = await source.send(b, load)
    let received = 0
    for (let silence = 0; received < sent && silence < SILENCE_MS;) {
      const more = (await sink.heard()).received
      received += more
      silence = more > 0 ? 0 : silence + LOOK_MS
      await sleep(LOOK_MS)
    }
    return { sent: sent / (milliseconds / 1000), received: received / (milliseconds / 1000) }
  }

  /** The most that arrives whole, a second, as busy as the machine is now. */
  const capacityNow = async (): Promise<number> => {
    for (let capacity = 5000; ; capacity *= 1.5) {
      const { sent, received } = await run(capacity * 1.5)
      if (received < sent * 0.98 || sent < capacity) return capacity
    }
  }
  const ratios: number[] = []
  for (let round = 0; round < ROUNDS; round++) {
    const capacity = await capacityNow()
    // What else the machine does may begin in between, so the capacity counts that is there afterwards too.
    const before = await run(capacity)
    const overload = await run(2 * capacity)
    const after = await run(capacity)
    ratios.push(overload.received / Math.min(before.received, after.received))
    t.diagnostic(JSON.stringify({ capacity, before, overload, after }))
  }
  const [median] = ratios.toSorted((x, y) => x - y).slice(ROUNDS >>> 1)
  assert.ok(median! > 0.5, ratios.join(', '))
  await eventually(
    async () => {
      const { sent, received } = await run(500)
      assert.equal(received, sent)
    },
    { what: 'a load without a loss', timeout: 60_000 },
  )
})
