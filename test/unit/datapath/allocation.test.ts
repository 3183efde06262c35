import assert from 'node:assert/strict'
import { test } from 'node:test'
import { allocatedBy, heapTakenBy, type Repeat } from '../../../bench/micro/allocation.ts'
import { OPERATIONS } from '../../../bench/micro/operations.ts'
import { setTimeout as sleep } from 'node:timers/promises'

/** Until the compiler has come round to the code, on a machine with other work too. */
const PATIENCE_MS = 30_000

async function allocates(repeat: Repeat): Promise<number> {
  const deadline = Date.now() + PATIENCE_MS
  for (;;) {
    const bytes = allocatedBy(repeat)
    if (bytes === 0 || Date.now() > deadline) return bytes
    // The compiler's other threads deliver what they made to an idle event loop.
    await sleep(1)
  }
}

for (const { what, repeat } of OPERATIONS) {
  test(`no heap is taken by: ${what}`, async () => {
    assert.equal(await allocates(repeat), 0)
  })
}

test('heap that is taken is seen, to the byte', () => {
  let kept: unknown
  const perObject = heapTakenBy((times) => {
    for (let i = 0; i < times; i++) kept = { i }
  })
  assert.ok(perObject >= 1000 * 16, `${perObject}`)
  assert.notEqual(kept, undefined)
})
