import assert from 'node:assert/strict'
import { setTimeout as sleep } from 'node:timers/promises'

/**
 * Waits for work that ends by a time limit of its own, and asserts that it did. Both times are timers of
 * this process, which fire in their order however late the machine lets them: a busy one changes nothing.
 */
export async function settlesWithin<T>(ms: number, work: Promise<T>, what: string): Promise<T> {
  const over = new AbortController()
  const late = sleep(ms, undefined, { signal: over.signal }).then(
    () => assert.fail(`${what} has not settled after ${ms} ms`),
    () => new Promise<never>(() => undefined),
  )
  try {
    return await Promise.race([work, late])
  } finally {
    over.abort()
  }
}
