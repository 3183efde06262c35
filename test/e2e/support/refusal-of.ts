import assert from 'node:assert/strict'
import { messageOf } from '../../../src/errors.ts'

/** What docker said to a command that must fail. */
export async function refusalOf(attempt: Promise<unknown>): Promise<string> {
  return attempt.then(
    () => assert.fail('docker accepted it'),
    (error: unknown) => messageOf(error),
  )
}
