import assert from 'node:assert/strict'
import { test } from 'node:test'
import { etcdFailure } from '../../../src/store/etcd-failure.ts'

const sentence = (lastWords: string, hadData = true): string =>
  etcdFailure({ how: 'exit 1', lastWords, dataDir: '/state/etcd', hadData })

/** What etcd 3.4 says, and a word of the sentence made of it. */
const cases: readonly (readonly [string, RegExp])[] = [
  ['failed to create WAL, error: no space left on device', /no space left on the disk of \/state/],
  ['cannot access data directory: open x: permission denied', /may not write its data in \/state/],
  [
    'invalid downgrade; server version is lower than determined cluster version',
    /written by a newer etcd/,
  ],
  ['failed to open database, error: invalid database', /seem damaged: move \/state\/etcd\/data/],
  ['panic: freepages: failed to get all reachable pages', /seem damaged/],
  ['discovery failed, error: proto: illegal wireType 6', /seem damaged/],
  ['panic: cannot use none as id', /seem damaged/],
]

test('why etcd ended is told with what to do', () => {
  for (const [lastWords, expected] of cases) {
    assert.match(sentence(lastWords), expected)
    assert.ok(sentence(lastWords).includes(lastWords), 'its own words are quoted')
  }
})

test('an etcd that had no data cannot have found them damaged', () => {
  assert.equal(sentence('panic: something', false), 'etcd ended (exit 1: panic: something)')
  assert.equal(sentence('', true), 'etcd ended (exit 1)')
})
