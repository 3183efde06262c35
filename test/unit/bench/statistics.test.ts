import assert from 'node:assert/strict'
import { test } from 'node:test'
import { median, percentile, summaryOf } from '../../../bench/statistics.ts'

test('the median is the middle value, or the mean of the two in the middle', () => {
  assert.equal(median([30, 1, 2]), 2)
  assert.equal(median([4, 1, 100, 2]), 3)
})

test('a percentile is a value that was measured', () => {
  const values = Array.from({ length: 200 }, (_, index) => 200 - index)
  assert.equal(percentile(values, 50), 100)
  assert.equal(percentile(values, 99), 198)
  assert.equal(percentile([7], 1), 7)
})

test('a summary is the median and its range; of nothing there is none', () => {
  assert.deepEqual(summaryOf([3, 1, 2, 9]), { median: 2.5, least: 1, most: 9, count: 4 })
  assert.equal(summaryOf([]), null)
})
