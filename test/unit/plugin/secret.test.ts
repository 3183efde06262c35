import assert from 'node:assert/strict'
import { test } from 'node:test'
import { format, inspect } from 'node:util'
import { Secret } from '../../../plugin/secret.ts'

test('a secret shows itself only when asked to', () => {
  const secret = new Secret('hunter2')
  const shown = [
    JSON.stringify({ secret }),
    inspect({ secret }, { depth: 5, showHidden: true }),
    format('%s %o %j', secret, secret, secret),
    String(secret),
    JSON.stringify(Object.entries(secret)),
  ]
  for (const text of shown) assert.doesNotMatch(text, /hunter2/)
  assert.equal(secret.reveal(), 'hunter2')
})
