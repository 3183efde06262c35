import assert from 'node:assert/strict'
import { test } from 'node:test'
import { choosePool, lastBlock, type PoolWish } from '../../../src/ipam/choose-pool.ts'
import { formatCidr, parseCidr } from '../../../src/net/cidr.ts'

const network = parseCidr('10.32.0.0/12')

const choose = (wish: Partial<PoolWish> = {}): string =>
  formatCidr(
    choosePool({
      network,
      length: 17,
      kept: lastBlock(network, 17),
      taken: [],
      clash: () => null,
      ...wish,
    }),
  )

test('the block kept for unnamed subnets is the last', () => {
  assert.equal(formatCidr(lastBlock(network, 17)), '10.47.128.0/17')
  assert.equal(formatCidr(lastBlock(network, 12)), '10.32.0.0/12')
  assert.throws(() => lastBlock(network, 11), { code: 'bad_input' })
})

test('pools follow one another, around whatever is taken in between', () => {
  assert.equal(choose(), '10.32.0.0/17')
  assert.equal(choose({ taken: [parseCidr('10.32.0.0/17')] }), '10.32.128.0/17')
  assert.equal(
    choose({ taken: [parseCidr('10.32.0.0/17'), parseCidr('10.32.200.0/24')] }),
    '10.33.0.0/17',
  )
})

test('a pool of its own length fits between the others', () => {
  assert.equal(choose({ length: 20, taken: [parseCidr('10.32.0.0/17')] }), '10.32.128.0/20')
  assert.equal(choose({ length: 14, taken: [parseCidr('10.32.0.0/17')] }), '10.36.0.0/14')
})

test('the kept block is never given, and without another the refusal counts', () => {
  const taken = Array.from({ length: 31 }, (_, i) => ({
    base: network.base + i * 2 ** 15,
    length: 17,
  }))
  assert.equal(choose({ taken: taken.slice(0, 30) }), '10.47.0.0/17')
  assert.throws(() => choose({ taken }), {
    code: 'exhausted',
    message:
      /^10\.32\.0\.0\/12 has no free \/17 pool: 31 of 31 are taken; give one outside 10\.32\.0\.0\/12 with --subnet, or remove/,
  })
})

test('a pool that would take the kept block is refused with the option that is to be longer', () => {
  assert.throws(() => choose({ length: 12 }), {
    code: 'bad_input',
    message: /no \/12 pool beside 10\.47\.128\.0\/17, .* choose a longer --ipam-opt pool-len=/,
  })
  for (const length of [12, 20]) {
    assert.throws(() => choose({ kept: network, length }), {
      code: 'bad_input',
      message:
        /a pool of POOL_LEN 12 is all of 10\.32\.0\.0\/12, .* with a longer POOL_LEN, or give/,
    })
  }
})

test('a pool that clashes on this host is passed over, and named when all do', () => {
  const clash: PoolWish['clash'] = (candidate) =>
    candidate.base < network.base + 2 ** 16 ? 'overlaps the route 10.32.0.0/16 dev eth1' : null
  assert.equal(choose({ clash }), '10.33.0.0/17')
  assert.throws(() => choose({ clash: () => 'overlaps the route 10.0.0.0/8 dev wg0' }), {
    code: 'conflict',
    message: /none of the 31 free \/17 pools .*route 10\.0\.0\.0\/8 dev wg0/,
  })
})
