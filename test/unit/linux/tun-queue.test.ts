import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseTunQueue } from '../../../src/linux/tun-queue.ts'

const link = (change: object = {}): string =>
  JSON.stringify([
    {
      ifname: 'ov-tun',
      qdisc: 'mq',
      txqlen: 1000,
      stats64: { rx: { dropped: 9 }, tx: { packets: 7, dropped: 3 } },
      ...change,
    },
  ])
const qdisc = (drops: unknown = 40): string =>
  JSON.stringify([
    { kind: 'mq', handle: '0:', root: true, drops, qlen: 0 },
    { kind: 'pfifo_fast', handle: '0:', parent: ':1', drops: 30, qlen: 0 },
    { kind: 'pfifo_fast', handle: '0:', parent: ':2', drops: 10, qlen: 0 },
  ])

test('packets lost in the device and before it are one figure, and none is counted twice', () => {
  assert.deepEqual(parseTunQueue(link(), qdisc()), { qdisc: 'mq', length: 1000, dropped: 43 })
})

test('without a queueing discipline the device’s own losses are all', () => {
  assert.equal(parseTunQueue(link({ qdisc: 'noqueue' }), '[]')?.dropped, 3)
})

test('what is not understood is not guessed at', () => {
  for (const odd of ['', '[', 'null', '{}', '[]', '[{}]', link({ txqlen: '1000' })]) {
    assert.equal(parseTunQueue(odd, qdisc()), null, odd)
  }
  for (const odd of ['', '[', 'null', '{}', '[{}]', qdisc('40')]) {
    assert.equal(parseTunQueue(link(), odd), null, odd)
  }
})
