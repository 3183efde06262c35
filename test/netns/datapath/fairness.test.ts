import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { FlowHeard, Heard } from '../../support/run-udp-load.ts'
import { eventually, waitFor } from '../../support/wait.ts'
import { LoadSink, LoadSource } from './load.ts'
import { linkDropsOf, lossOf } from './losses.ts'
import { Sites } from './sites.ts'
import { pings } from './two-hosts.ts'

const MILLISECONDS = 2000
const FLOWS = 32
const QUIET = { size: 100, rate: 1600, flows: FLOWS, milliseconds: MILLISECONDS }
/** Super-datagrams: more than a forwarder can carry takes little of a core to send. */
const FLOOD = { size: 1200, together: 50, rate: 1_000_000, milliseconds: MILLISECONDS }
/** The share of a flow that arrives when nothing but a full queue of the kernel's was in its way. */
const WHOLE = 0.98

function medianOf(flows: readonly FlowHeard[]): number {
  return flows.map(({ p50 }) => p50).toSorted((x, y) => x - y)[flows.length >>> 1]!
}

/** What each flow brought, once no more arrives. */
async function allOf(sink: LoadSink): Promise<FlowHeard[]> {
  const parts: Heard[] = []
  await waitFor(
    async () => {
      parts.push(await sink.heard())
      return parts.at(-1)!.received === 0
    },
    { what: 'no more to arrive', every: 500, timeout: 30_000 },
  )
  return byFlow(parts)
}

/** What each flow brought in all those times of asking. */
function byFlow(parts: readonly Heard[]): FlowHeard[] {
  return Array.from({ length: FLOWS }, (_, flow) => {
    const own = parts.flatMap(({ flows }) => flows[flow] ?? [])
    // The few that come last say nothing of the others.
    const [most] = own.toSorted((one, other) => other.received - one.received)
    return { received: own.reduce((sum, { received }) => sum + received, 0), p50: most?.p50 ?? 0 }
  })
}

test('a flood towards one slow host takes nothing from the flows of the others', async (t) => {
  await using sites = await Sites.create('a', 'b', 'c')
  const middle = await sites.wireSwitch()
  const ofA = await sites.ours('a')
  await sites.ours('b')
  await sites.ours('c')
  const [a, b, c] = [sites.site('a'), sites.site('b'), sites.site('c')]
  const slow = ['rate', '50mbit', 'burst', '64kb', 'limit', '200kb']
  await middle.run('tc', 'qdisc', 'add', 'dev', 'port-b', 'root', 'tbf', ...slow)
  // A super-frame that finds a queue full is counted as one, so towards host A there are to be none.
  await c.host.run('ethtool', '-K', 'u0', 'tx-udp-segmentation', 'off')
  await a.host.run('ethtool', '-K', 'v0', 'tx-udp-segmentation', 'off')
  await using flood = await LoadSource.start(a)
  await using toC = await LoadSource.start(a)
  await using toA = await LoadSource.start(c)
  await using inA = await LoadSink.start(a)
  await using inB = await LoadSink.start(b)
  await using inC = await LoadSink.start(c)
  for (const far of [b, c]) assert.ok(await pings(a.container, far.address()))

  const [flooded, sentToC, sentToA] = await Promise.all([
    flood.send(b, FLOOD),
    toC.send(c, QUIET),
    toA.send(a, QUIET),
  ])
  const [ofFlood] = await allOf(inB)
  const quietOut = await allOf(inC)
  const heardInA: Heard[] = []
  // What comes in shares with what goes out only the kernel's queues of a processor, to which all veths
  // hand what they take, and whoever is kept from running. It loses nothing that is not counted there.
  await eventually(
    async () => {
      heardInA.push(await inA.heard())
      const received = heardInA.reduce((sum, heard) => sum + heard.received, 0)
      let dropped = 0
      for (const [netns, device] of [
        [c.container, 'eth0'],
        [c.host, 'ov-tun'],
        [c.host, 'u0'],
        [middle, 'port-a'],
        [a.host, 'v0'],
      ] as const) {
        dropped += await linkDropsOf(netns, device)
      }
      const text = `${received} of ${sentToA.sent} arrived, the kernel dropped ${dropped}`
      assert.ok(received + dropped >= sentToA.sent && received > dropped, text)
    },
    { what: 'all that came in', timeout: 60_000 },
  )
  const quietIn = byFlow(heardInA)
  t.diagnostic(JSON.stringify({ flooded, ofFlood, quietOut, quietIn }))

  assert.ok(ofFlood!.received < flooded.sent / 2, 'it was no flood')
  // One flow in eight is hashed to the flood's queue. More than half of 32: once in 30 million times.
  const each = Math.floor(sentToC.sent / FLOWS)
  const intact = quietOut.filter(({ received }) => received >= WHOLE * each)
  assert.ok(intact.length >= FLOWS / 2, `${intact.length} flows of ${FLOWS} arrived`)
  // A packet waits for whoever carries it to get a core, too. How long, those tell that go the other way.
  const [flooding, others, own] = [ofFlood!.p50, medianOf(intact), medianOf(quietIn)]
  const text = `${others} ms, the flood ${flooding} ms, what comes in ${own} ms`
  assert.ok(others - own < (flooding - own) / 2, text)
  // The forwarder itself lost nothing: what was too much never came to it.
  assert.deepEqual(lossOf(await ofA.counters()), {})
})
