import assert from 'node:assert/strict'
import { test } from 'node:test'
import { awaitingHalf } from '../../../src/control/awaiting-half.ts'
import type { HeldSubnet } from '../../../src/control/journal.ts'
import { held, heldHalf } from './control-support.ts'

const free = (number: number, changes: Partial<HeldSubnet> = {}): HeldSubnet =>
  held(`10.33.${number}.0/24`, { overlay: null, networkId: null, since: number, ...changes })

const found = (all: readonly HeldSubnet[], overlay: string | null = null, oldest = 0) =>
  awaitingHalf(all, overlay, oldest)?.subnet

test('the youngest subnet without a network gets the half, the last of those of one moment', () => {
  assert.equal(found([free(1), free(3), free(2)]), '10.33.3.0/24')
  assert.equal(found([free(1, { since: 5 }), free(2, { since: 5 })]), '10.33.2.0/24')
  assert.equal(found([free(1), free(2)], null, 2), undefined, 'too old, all of them')
  assert.equal(found([]), undefined)
})

test('one that has a network or IPv6, or that Docker chose, waits for nothing', () => {
  const others = [
    free(1, { networkId: 'n' }),
    free(2, { ipv6: heldHalf('fd00:40:0:2::/64') }),
    free(3, { kind: 'docker' }),
  ]
  assert.equal(found(others), undefined)
})

test('a named overlay is asked for by its name in both calls; a pool that is given alone may have an owner', () => {
  const web = free(5, { overlay: 'web', kind: 'pooled', pool: '10.33.0.0/17' })
  const app = free(6, { overlay: 'app', kind: 'pooled', pool: '10.33.0.0/17' })
  const nameless = free(4)
  assert.equal(found([web, app, nameless], 'web'), '10.33.5.0/24')
  assert.equal(found([nameless], 'web'), undefined)
  assert.equal(found([nameless, web]), '10.33.5.0/24')
  assert.equal(found([free(7, { overlay: 'plain' }), nameless]), '10.33.4.0/24')
})
