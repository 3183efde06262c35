import assert from 'node:assert/strict'
import { setImmediate as turn } from 'node:timers/promises'
import { test } from 'node:test'
import { CoalescedTask } from '../../../src/control/coalesced-task.ts'

/** A task whose runs end when told, and what was seen of them. */
function taskOf() {
  const ends: PromiseWithResolvers<void>[] = []
  let running = 0
  let most = 0
  const task = new CoalescedTask(async () => {
    most = Math.max(most, ++running)
    const end = Promise.withResolvers<void>()
    ends.push(end)
    try {
      await end.promise
    } finally {
      running--
    }
  })
  return { task, ends, most: () => most }
}

test('many who ask during a run are served by one more run, begun after they asked', async () => {
  const { task, ends } = taskOf()
  const first = task.run()
  const others = [task.run(), task.run(), task.run()]
  assert.equal(ends.length, 1)
  ends[0]!.resolve()
  await first
  await turn()
  assert.equal(ends.length, 2)
  ends[1]!.resolve()
  await Promise.all(others)
  assert.equal(ends.length, 2)
})

test('who asks in the moment a run ends does not start a second one beside the next', async () => {
  const { task, ends, most } = taskOf()
  const first = task.run()
  const again = first.then(() => task.run())
  const next = task.run()
  ends[0]!.resolve()
  await turn()
  assert.equal(most(), 1)
  assert.equal(ends.length, 2)
  ends[1]!.resolve()
  await Promise.all([again, next])
  assert.equal(ends.length, 2)
})

test('a run that fails fails for those who waited for it, and not for the next', async () => {
  const { task, ends } = taskOf()
  const first = task.run()
  const second = task.run()
  ends[0]!.reject(new Error('broken'))
  await assert.rejects(first, /broken/)
  await turn()
  ends[1]!.resolve()
  await second
})
