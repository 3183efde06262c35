import assert from 'node:assert/strict'
import { test } from 'node:test'
import { pino } from 'pino'
import { ProblemLog } from '../../../src/store/problem-log.ts'

function recorded(): { log: ProblemLog; lines: string[] } {
  const lines: string[] = []
  const write = (line: string): void => {
    lines.push((JSON.parse(line) as { msg: string }).msg)
  }
  return { log: new ProblemLog(pino({ base: null }, { write })), lines }
}

const wrong = { key: '/overlay-ts/subnets/x', reason: 'is not the name of a key known here' }

test('a wrong key is said once, and again only after it was mended', () => {
  const { log, lines } = recorded()
  log.note([wrong])
  log.note([wrong])
  assert.deepEqual(lines, [
    'etcd key /overlay-ts/subnets/x is ignored: is not the name of a key known here',
  ])
  log.note([])
  log.note([wrong])
  assert.equal(lines.length, 2)
  assert.equal(log.total, 2)
})

test('of a key that is wrong in its IPv6 part no more is said to be ignored', () => {
  const { log, lines } = recorded()
  const key = '/overlay-ts/subnets/10.33.5.0-24&fd00::-64'
  log.note([{ key, part: 'IPv6', reason: 'overlaps the older lease fd00::/48' }])
  assert.deepEqual(lines, [
    `the IPv6 part of etcd key ${key} is ignored: overlaps the older lease fd00::/48`,
  ])
})
