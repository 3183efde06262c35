import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Clock } from '../../../src/datapath/clock.ts'
import { addressOf } from '../../../src/datapath/libc.ts'
import { PacketMemory } from '../../../src/datapath/packet-memory.ts'

const clock = new Clock(new PacketMemory(65_536, addressOf))

test('before it is read it gives no time', () => {
  assert.equal(clock.milliseconds, 0)
})

test('it never goes back, and is as fast as the clock of the process', () => {
  const atMostFrom = performance.now()
  const then = clock.now()
  const first = clock.milliseconds
  const atLeastFrom = performance.now()
  let atLeast = 0
  while (atLeast < 50) {
    const before = clock.milliseconds
    atLeast = performance.now() - atLeastFrom
    const elapsed = clock.since(then)
    const atMost = performance.now() - atMostFrom
    assert.ok(clock.milliseconds >= before, `${before} ms, then ${clock.milliseconds} ms`)
    const between = `${elapsed} µs, between ${atLeast} ms and ${atMost} ms`
    assert.ok(elapsed >= Math.floor(atLeast * 1000) - 1, between)
    assert.ok(elapsed <= Math.ceil(atMost * 1000) + 1, between)
  }
  assert.ok(clock.milliseconds - first >= 49)
})
