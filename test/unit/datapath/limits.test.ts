import assert from 'node:assert/strict'
import { test } from 'node:test'
import { gsoMaxSize, MAX_DATAGRAM, MAX_SEGMENTS } from '../../../src/datapath/limits.ts'

test('a super-packet of the chosen size is 44 whole segments on an underlay of 1500', () => {
  assert.equal(Math.floor((gsoMaxSize(1450) - 52) / 1398), 44)
  assert.equal(Math.floor((gsoMaxSize(8950) - 52) / 8898), 7)
})

test('TCP fills one send at every MTU, whether or not it takes room for headers off first', () => {
  for (let mtu = 700; mtu <= 60_000; mtu++) {
    for (const headroom of [52, 321]) {
      const segments = Math.floor((gsoMaxSize(mtu) - headroom) / (mtu - 52))
      assert(segments >= 1 && segments <= MAX_SEGMENTS, `MTU ${mtu}`)
      assert(segments * (mtu + 22) <= MAX_DATAGRAM, `MTU ${mtu}`)
      assert((segments + 1) * (mtu + 22) > MAX_DATAGRAM || segments === MAX_SEGMENTS, `MTU ${mtu}`)
    }
  }
})
