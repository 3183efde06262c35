import assert from 'node:assert/strict'
import { test } from 'node:test'
import { KeyedMutex } from '../../../src/control/keyed-mutex.ts'

test('work of one key goes one after the other, in order, whatever became of the one before', async () => {
  const mutex = new KeyedMutex()
  const events: string[] = []
  const job = (name: string, fails: boolean) => async (): Promise<string> => {
    events.push(`${name} begins`)
    await Promise.resolve()
    events.push(`${name} ends`)
    if (fails) throw new Error(name)
    return name
  }
  const jobs = [
    mutex.run('k', job('first', true)),
    mutex.run('k', job('second', false)),
    mutex.run('k', job('third', false)),
  ]
  const results = await Promise.allSettled(jobs)
  assert.deepEqual(
    results.map(({ status }) => status),
    ['rejected', 'fulfilled', 'fulfilled'],
  )
  assert.deepEqual(events, [
    'first begins',
    'first ends',
    'second begins',
    'second ends',
    'third begins',
    'third ends',
  ])
})

test('work of different keys does not wait for each other', async () => {
  const mutex = new KeyedMutex()
  const never = mutex.run('a', () => new Promise<void>(() => undefined))
  assert.equal(await mutex.run('b', async () => 'done'), 'done')
  void never
})
