import assert from 'node:assert/strict'
import { test } from 'node:test'
import { AllowedCoalescing } from '../../../src/datapath/allowed-coalescing.ts'

function allowedOf({ tcp, udp }: AllowedCoalescing): { tcp: boolean; udp: boolean } {
  return { tcp, udp }
}

test('nothing is written before it is allowed, and each kind by itself', () => {
  const all = new AllowedCoalescing()
  assert.deepEqual(allowedOf(all), { tcp: false, udp: false })
  for (const tcp of [true, false]) {
    for (const udp of [true, false]) {
      all.allow({ tcp, udp })
      assert.deepEqual(allowedOf(all), { tcp, udp })
    }
  }
})

test('what one worker ends is ended for all, and only the first has ended it', () => {
  for (const allowed of [
    { tcp: true, udp: true },
    { tcp: true, udp: false },
    { tcp: false, udp: true },
  ]) {
    const all = new AllowedCoalescing()
    all.allow(allowed)
    const one = new AllowedCoalescing(structuredClone(all.buffer))
    const other = new AllowedCoalescing(structuredClone(all.buffer))
    assert.equal(one.end(), true)
    for (const view of [all, one, other]) {
      assert.deepEqual(allowedOf(view), { tcp: false, udp: false })
      assert.equal(view.end(), false)
    }
  }
})
