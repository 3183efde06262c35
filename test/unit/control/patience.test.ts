import assert from 'node:assert/strict'
import { test } from 'node:test'
import { settlesWithin, withPatience } from '../../../src/control/patience.ts'

const never = new Promise<never>(() => undefined)

test('work that settles in time gives its outcome, good or bad', async () => {
  assert.equal(await withPatience(Promise.resolve(7), 1000), 7)
  await assert.rejects(withPatience(Promise.reject(new Error('its own')), 1000), /its own/)
  assert.equal(await settlesWithin(Promise.resolve(), 1000), true)
})

test('work that takes longer is left to itself', async () => {
  await assert.rejects(withPatience(never, 10), {
    code: 'store_unavailable',
    message: /within 0\.01 s; try again/,
  })
  assert.equal(await settlesWithin(never, 10), false)
  const late = Promise.withResolvers<void>()
  await assert.rejects(withPatience(late.promise, 10))
  // Nobody listens any more, and that is no unhandled rejection.
  late.reject(new Error('too late'))
})
