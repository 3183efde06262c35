import assert from 'node:assert/strict'
import { test } from 'node:test'
import { RateLimit } from '../../../src/datapath/rate-limit.ts'

/** How many of ten askings in a row are granted. */
function granted(limit: RateLimit, key: number, now: number): number {
  return Array.from({ length: 10 }, () => limit.takes(key, now)).filter(Boolean).length
}

test('a full bucket gives its burst, then one token for each interval', () => {
  const limit = new RateLimit(4, 100, 3)
  assert.equal(granted(limit, 0, 1000), 3)
  assert.equal(granted(limit, 0, 1099), 0)
  assert.equal(granted(limit, 0, 1100), 1)
  assert.equal(granted(limit, 0, 1350), 2)
})

test('a bucket never holds more than its burst', () => {
  const limit = new RateLimit(4, 100, 3)
  granted(limit, 0, 0)
  assert.equal(granted(limit, 0, 1e9), 3)
})

test('who empties a bucket leaves the others alone', () => {
  const limit = new RateLimit(4, 100, 3)
  assert.equal(granted(limit, 1, 0), 3)
  assert.equal(granted(limit, 2, 0), 3)
  assert.equal(granted(limit, 5, 0), 0, 'the same slot')
  assert.equal(granted(limit, 0xffff_ffff, 0), 3, 'a hash of 32 bits')
})
