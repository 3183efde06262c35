import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { CounterName } from '../../../src/datapath/counters.ts'
import { endProgram } from '../../support/end-program.ts'
import { FORGED_FRAMES } from '../../support/naive-forgeries.ts'
import type { Transferred } from '../../support/run-traffic.ts'
import { eventually } from '../../support/wait.ts'
import { linkDropsOf, lossOf } from './losses.ts'
import { OrderProcess } from '../../../lab/order-process.ts'
import type { FramesToSend } from './send-frames.ts'
import { checksumErrors, NO_CHECKSUM_ERRORS, OWN, programIn, TwoHosts } from './two-hosts.ts'

const SEND_FRAMES = new URL('send-frames.ts', import.meta.url).pathname
const TRAFFIC = new URL('../../support/run-traffic.ts', import.meta.url).pathname
const COPIES = 3000
const MILLISECONDS = 2000
/** One transfer after the other while the flood lasts. */
const BULK = 20_000_000
/** What the host's own IPv6 says to its neighbours, and what the kernel had no room for. */
const NOT_OURS = { tx_drop_multicast: 0, rx_queue_overflows: 0 }

test('under a flood of forgeries a good flow stays whole, and each forgery is counted by its reason', async (t) => {
  await using hosts = await TwoHosts.create()
  await using a = await hosts.ours('a')
  await using b = await hosts.ours('b')
  await hosts.a.run('ip', 'addr', 'add', '10.9.9.66/24', 'dev', 'u0')
  await using inA = await OrderProcess.start(programIn(hosts.a, process.execPath, TRAFFIC))
  await using _inB = await OrderProcess.start(programIn(hosts.b, process.execPath, TRAFFIC))

  const order: FramesToSend = {
    to: '10.9.9.2',
    port: 8472,
    frames: Object.values(FORGED_FRAMES).map(({ frame, source, tos = 0 }) => ({
      from: source === undefined ? '10.9.9.1' : '10.9.9.66',
      tos,
      hex: Buffer.from(frame).toString('hex'),
    })),
    copies: COPIES,
    milliseconds: MILLISECONDS,
  }
  await using programs = new AsyncDisposableStack()
  const flood = programs.adopt(programIn(hosts.a, process.execPath, SEND_FRAMES), endProgram)
  flood.stdin!.end(JSON.stringify(order))
  let transfers = 0
  for (; flood.exitCode === null && flood.signalCode === null; transfers++) {
    const transfer = { from: OWN.a, to: OWN.b, up: BULK, down: BULK }
    const { up, down } = (await inA.ask({ transfer })) as Transferred
    assert.deepEqual({ up, down }, { up: 'same', down: 'same' })
  }
  assert.deepEqual([flood.exitCode, flood.signalCode], [0, null])
  assert.ok(transfers > 0)

  // Had the kernel no room for a datagram, it says so, and that is what may be missing.
  await eventually(
    async () => {
      const counted = await b.counters()
      const names = Object.keys(FORGED_FRAMES) as CounterName[]
      const others = { ...lossOf(counted), ...NOT_OURS }
      for (const name of names) delete others[name]
      assert.deepEqual(others, NOT_OURS)
      const overflows = counted.rx_queue_overflows + (await linkDropsOf(hosts.a, 'u0'))
      const missing = names.map((name) => COPIES - counted[name])
      const total = missing.reduce((sum, count) => sum + count, 0)
      assert.ok(total <= overflows && Math.min(...missing) >= 0, JSON.stringify(missing))
      t.diagnostic(`${names.length * COPIES} forgeries, ${overflows} lost; ${transfers} transfers`)
    },
    { what: 'each forgery to be counted' },
  )
  assert.deepEqual({ ...lossOf(await a.counters()), ...NOT_OURS }, NOT_OURS)
  for (const host of [hosts.a, hosts.b]) {
    assert.deepEqual(await checksumErrors(host), NO_CHECKSUM_ERRORS)
  }
})
