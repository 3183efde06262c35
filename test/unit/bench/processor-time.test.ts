import assert from 'node:assert/strict'
import { test } from 'node:test'
import { busySeconds, ownSeconds } from '../../../bench/processor-time.ts'

test('a core works while it is not idle, waiting or lent to others', () => {
  const stat = [
    'cpu  9 9 9 9 9 9 9 9 9 9',
    'cpu0 100 20 300 5000 600 7 80 900 0 0',
    'cpu1 0 0 100 5000 0 0 0 0 0 0',
    'intr 1 2 3',
  ].join('\n')
  assert.deepEqual(busySeconds(stat), [5.07, 1])
})

test('the time of a process is found behind whatever it calls itself', () => {
  const fields = ['S', ...Array.from({ length: 10 }, () => '9'), '250', '150', '9', '9']
  assert.equal(ownSeconds(`42 (a) b) ${fields.join(' ')}`), 4)
})
