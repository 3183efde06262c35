import assert from 'node:assert/strict'
import { test } from 'node:test'
import { addressOf, libc } from '../../../src/datapath/libc.ts'
import { PacketMemory } from '../../../src/datapath/packet-memory.ts'
import { Readiness } from '../../../src/datapath/readiness.ts'

const EFD_NONBLOCK = 0o4000
const WORD = 8

test('of many descriptors those that have something are known, until it is taken', () => {
  using left = new DisposableStack()
  const memory = new PacketMemory(65_536, addressOf)
  const word = memory.reserve(WORD)
  const events = Array.from({ length: 20 }, () => {
    const fd = libc.eventfd(0, EFD_NONBLOCK)
    left.defer(() => void libc.close(fd))
    return fd
  })
  const readiness = new Readiness(memory, events)
  left.defer(() => readiness.close())
  const ready = (): number[] =>
    events.flatMap((_, index) => (readiness.isReady(index) ? index : []))

  assert.equal(readiness.wait(0), false)
  assert.deepEqual(ready(), [])
  memory.words[word >>> 2] = 1
  for (const index of [3, 19]) {
    assert.equal(libc.write(events[index]!, memory.base + word, WORD), WORD)
  }
  for (const time of [0, 1000]) {
    assert.equal(readiness.wait(time), true)
    assert.deepEqual(ready(), [3, 19])
  }
  assert.equal(libc.read(events[3]!, memory.base + word, WORD), WORD)
  assert.equal(readiness.wait(0), true)
  assert.deepEqual(ready(), [19])
  readiness.suspectAll()
  assert.equal(ready().length, events.length)
})

test('a descriptor that cannot be watched is refused, and nothing is left open', () => {
  const memory = new PacketMemory(65_536, addressOf)
  const next = libc.eventfd(0, 0)
  libc.close(next)
  assert.throws(() => new Readiness(memory, [-1]), /cannot watch a descriptor: EBADF/)
  const again = libc.eventfd(0, 0)
  libc.close(again)
  assert.equal(again, next)
})
