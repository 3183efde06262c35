import assert from 'node:assert/strict'
import { test } from 'node:test'
import { rotated, takesPart } from '../../../bench/rounds.ts'

test('another one begins in every round', () => {
  assert.deepEqual(
    [1, 2, 3, 4].map((round) => rotated(['a', 'b', 'c'], round).join('')),
    ['abc', 'bca', 'cab', 'abc'],
  )
  assert.deepEqual(rotated([], 5), [])
})

test('who is compared closely takes part in every round, all in the first', () => {
  const rounds = (kind: Parameters<typeof takesPart>[0]): number[] =>
    [1, 2, 3, 4, 5].filter((round) => takesPart(kind, round))
  for (const kind of ['ours', 'kernel', 'reference'] as const) {
    assert.deepEqual(rounds(kind), [1, 2, 3, 4, 5])
  }
  for (const kind of ['peer', 'swarm'] as const) assert.deepEqual(rounds(kind), [1, 4])
})
