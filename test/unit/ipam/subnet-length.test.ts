import assert from 'node:assert/strict'
import { test } from 'node:test'
import { subnetLengthFor } from '../../../src/ipam/subnet-length.ts'
import { parseCidr } from '../../../src/net/cidr.ts'

test('subnets have the wanted length where four of them fit, else a quarter of the pool', () => {
  const vectors: [string, number, number][] = [
    ['10.32.0.0/12', 24, 24],
    ['10.32.0.0/22', 24, 24],
    ['10.32.0.0/23', 24, 25],
    ['10.32.0.0/24', 24, 26],
    ['10.32.0.0/28', 24, 30],
    ['10.32.0.0/16', 32, 30],
  ]
  for (const [pool, wanted, length] of vectors) {
    assert.equal(subnetLengthFor(parseCidr(pool), wanted), length, `${pool}, /${wanted}`)
  }
})

test('a pool longer than a /28 is too small for hosts to share', () => {
  assert.throws(() => subnetLengthFor(parseCidr('10.32.0.0/29'), 30), {
    code: 'bad_input',
    message: /^10\.32\.0\.0\/29 is too small .*; give a pool of \/28 or larger$/,
  })
})
