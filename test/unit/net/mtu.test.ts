import assert from 'node:assert/strict'
import { test } from 'node:test'
import { IPV4_OVERHEAD, IPV6_OVERHEAD, overlayMtu } from '../../../src/net/mtu.ts'

test('encapsulation costs 50 bytes over IPv4 and 70 over IPv6', () => {
  assert.equal(IPV4_OVERHEAD, 50)
  assert.equal(IPV6_OVERHEAD, 70)
  assert.equal(overlayMtu(1500), 1450)
  assert.equal(overlayMtu(9000, 'ipv6'), 8930)
})
