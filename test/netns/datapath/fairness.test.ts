import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { FlowHeard, Heard } from '../../support/run-udp-load.ts'
import { waitFor } from '../../support/wait.ts'
import { LoadSink, LoadSource } from './load.ts'
import { linkDropsOf, lossOf } from './losses.ts'
import { Sites } from './sites.ts'
import { pings } from './two-hosts.ts'

const MILLISECONDS = 2000
const FLOWS = 16
const QUIET = { size: 100, rate: 1600, flows: FLOWS, milliseconds: MILLISECONDS }
/** Super-datagrams: more than a forwarder can carry takes little of a core to send. */
const FLOOD = { size: 1200, together: 50, rate: 1_000_000, milliseconds: MILLISECONDS }
/** The share of a flow that arrives when nothing but a full queue of the kernel's was in its way. */
const WHOLE = 0.98

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
  return Array.from({ length: FLOWS }, (_, flow) => {
    const own = parts.flatMap(({ flows }) => flows[flow] ?? [])
    return {
      received: own.reduce((sum, { received }) => sum + received, 0),
      p50: Math.max(0, ...own.map(({ p50 }) => p50)),
    }
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
  const [quietOut, quietIn] = [await allOf(inC), await allOf(inA)]
  t.diagnostic(JSON.stringify({ flooded, ofFlood, quietOut, quietIn }))

  assert.ok(ofFlood!.received < flooded.sent / 2, 'it was no flood')
  // What comes in shares with what goes out only the kernel's queues of a processor, to which all veths
  // hand what they take. If none of them was full it loses nothing; a full one counts what is joined as one.
  const total = quietIn.reduce((sum, { received }) => sum + received, 0)
  const dropped =
    (await linkDropsOf(c.container, 'eth0')) +
    (await linkDropsOf(c.host, 'u0')) +
    (await linkDropsOf(middle, 'port-a')) +
    (await linkDropsOf(a.host, 'v0'))
  const least = dropped === 0 ? sentToA.sent : WHOLE * sentToA.sent
  assert.ok(total >= least, `${total} of ${sentToA.sent} arrived, the kernel dropped ${dropped}`)
  // One flow in eight is hashed to the flood's queue. More than half of sixteen: once in 30,000 times.
  const each = Math.floor(sentToC.sent / FLOWS)
  const intact = quietOut.filter(({ received }) => received >= WHOLE * each)
  assert.ok(intact.length >= FLOWS / 2, `${intact.length} flows of ${FLOWS} arrived`)
  const times = intact.map(({ p50 }) => p50).toSorted((x, y) => x - y)
  const median = times[times.length >>> 1]!
  assert.ok(median < ofFlood!.p50 / 2, `${median} ms, and the flood ${ofFlood!.p50} ms`)
  // The forwarder itself lost nothing: what was too much never came to it.
  assert.deepEqual(lossOf(await ofA.counters()), {})
})
