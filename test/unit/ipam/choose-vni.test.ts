import assert from 'node:assert/strict'
import { test } from 'node:test'
import { chooseVni } from '../../../src/ipam/choose-vni.ts'
import { FIRST_OVERLAY_VNI, MAX_VNI } from '../../../src/net/vni.ts'

test('the lowest free VNI from 4096 on is chosen, gaps first', () => {
  assert.equal(chooseVni(new Set()), 4096)
  assert.equal(chooseVni(new Set([1, 4095])), 4096)
  assert.equal(chooseVni(new Set([4096, 4097, 4099])), 4098)
})

test('when every VNI is taken the refusal says so', () => {
  const full = new Set<number>()
  full.has = (vni) => vni >= FIRST_OVERLAY_VNI && vni <= MAX_VNI
  assert.throws(() => chooseVni(full), { code: 'exhausted', message: /4096 to 16777215/ })
  full.has = (vni) => vni !== MAX_VNI
  assert.equal(chooseVni(full), MAX_VNI)
})
