import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ipBatch } from '../../../src/linux/ip.ts'

test('a batch of many commands may take longer than any one program', async () => {
  const commands = Array.from({ length: 60 }, () => 'link show dev lo')
  const slow = ['sh', '-c', 'sleep 5.5; exec "$@"', 'sh']
  assert.deepEqual(await ipBatch(commands, { prefix: slow }), [])
})
