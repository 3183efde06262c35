import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { CounterName } from '../../../src/datapath/counters.ts'
import { FORGED_FRAMES } from '../../support/naive-forgeries.ts'
import { eventually } from '../../support/wait.ts'
import { TwoHosts } from './two-hosts.ts'

/** Sends each frame (hex) to the VXLAN port of host B, from a given address. */
const SENDER = `
  const [from, ...frames] = process.argv.slice(1)
  const socket = require('node:dgram').createSocket('udp4')
  socket.bind(0, from, async () => {
    for (const frame of frames) {
      await new Promise((done) => socket.send(Buffer.from(frame, 'hex'), 8472, '10.9.9.2', done))
    }
    socket.close()
  })`

test('each frame that a stranger or a lying peer sends is dropped under its own name', async () => {
  await using hosts = await TwoHosts.create()
  await using b = await hosts.ours('b')
  await hosts.a.run('ip', 'addr', 'add', '10.9.9.66/24', 'dev', 'u0')

  // A program cannot set the outer congestion mark without a raw socket; the unit test does that one.
  const { rx_drop_ecn: _, ...forgeries } = FORGED_FRAMES
  const expected: Partial<Record<CounterName, number>> = {}
  const frames: Record<string, string[]> = { '10.9.9.1': [], '10.9.9.66': [] }
  for (const [index, [name, { frame, source }]] of Object.entries(forgeries).entries()) {
    const from = source === undefined ? '10.9.9.1' : '10.9.9.66'
    const copies = index + 1 // so that no two counters may be mistaken for each other
    for (let copy = 0; copy < copies; copy++) frames[from]!.push(Buffer.from(frame).toString('hex'))
    expected[name as CounterName] = copies
  }
  for (const [from, list] of Object.entries(frames)) {
    await hosts.a.run(process.execPath, '-e', SENDER, from, ...list)
  }
  const sent = Object.values(frames).flat().length
  await eventually(
    async () => {
      const counters = await b.counters()
      const drops = Object.entries(counters).filter(
        ([name, value]) => name.startsWith('rx_drop') && value > 0,
      )
      assert.deepEqual(Object.fromEntries(drops), expected)
      assert.equal(counters.rx_frames, sent)
      assert.equal(counters.tun_writes, 0)
    },
    { what: 'all frames to be counted' },
  )
})
