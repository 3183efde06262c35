import assert from 'node:assert/strict'
import { test } from 'node:test'
import { chooseSubnet, type SubnetWish } from '../../../src/ipam/choose-subnet.ts'
import { formatCidr, parseCidr } from '../../../src/net/cidr.ts'
import { parseIpv4 } from '../../../src/net/ipv4.ts'

const choose = (wish: Partial<SubnetWish> = {}): string =>
  formatCidr(
    chooseSubnet({
      within: parseCidr('10.32.0.0/22'),
      length: 24,
      skipFirstAndLast: false,
      taken: [],
      clash: () => null,
      random: () => 0,
      ...wish,
    }),
  )

const cidrs = (...texts: string[]) => texts.map(parseCidr)

test('the choice among free subnets is the random number, from the first to the last', () => {
  assert.equal(choose({ random: () => 0 }), '10.32.0.0/24')
  assert.equal(choose({ random: () => 0.5 }), '10.32.2.0/24')
  assert.equal(choose({ random: () => 0.999 }), '10.32.3.0/24')
  assert.equal(choose({ random: () => 0, taken: cidrs('10.32.0.0/24') }), '10.32.1.0/24')
})

test('the first and the last subnet of a pool are never chosen when told so', () => {
  assert.equal(choose({ skipFirstAndLast: true, random: () => 0 }), '10.32.1.0/24')
  assert.equal(choose({ skipFirstAndLast: true, random: () => 0.999 }), '10.32.2.0/24')
})

test('the previous subnet is chosen again while it is free, inside the limits and without clash', () => {
  const preferred = parseCidr('10.32.2.0/24')
  assert.equal(choose({ preferred }), '10.32.2.0/24')
  assert.equal(choose({ preferred, taken: cidrs('10.32.2.128/25') }), '10.32.0.0/24')
  assert.equal(choose({ preferred, max: parseIpv4('10.32.1.0') }), '10.32.0.0/24')
  const clash: SubnetWish['clash'] = ({ base }) => (base === preferred.base ? 'no' : null)
  assert.equal(choose({ preferred, clash }), '10.32.0.0/24')
})

test('a previous subnet of another length, of another pool or out of step is not chosen again', () => {
  for (const text of ['10.32.2.0/25', '10.32.0.0/23', '10.33.2.0/24', '0.0.0.0/24']) {
    assert.equal(choose({ preferred: parseCidr(text) }), '10.32.0.0/24', text)
  }
  assert.equal(choose({ preferred: { base: parseIpv4('10.32.2.7'), length: 24 } }), '10.32.0.0/24')
})

test('the limits are the bases of the first and the last subnet that may be chosen', () => {
  const limits = { min: parseIpv4('10.32.1.0'), max: parseIpv4('10.32.2.0') }
  assert.equal(choose({ ...limits, random: () => 0 }), '10.32.1.0/24')
  assert.equal(choose({ ...limits, random: () => 0.999 }), '10.32.2.0/24')
})

test('prefixes of any length take the subnets that they touch', () => {
  const taken = cidrs('10.32.0.0/23', '10.32.3.64/26', '10.32.3.0/24', '192.168.0.0/16')
  assert.equal(choose({ taken, random: () => 0.999 }), '10.32.2.0/24')
})

test('when nothing is free the refusal counts, and names the options that make room', () => {
  assert.throws(() => choose({ taken: cidrs('10.0.0.0/8') }), {
    code: 'exhausted',
    message:
      /^10\.32\.0\.0\/22 has no free \/24 subnet: 4 of 4 are taken; remove networks .*, or make a new overlay .*--subnet.*pool-len=.*subnet-len=$/,
  })
  assert.throws(() => choose({ skipFirstAndLast: true, taken: cidrs('10.32.0.0/22') }), {
    code: 'exhausted',
    message: /2 of 2 are taken/,
  })
})

test('a subnet that clashes is passed over, and when all do the refusal names the clash', () => {
  const clash: SubnetWish['clash'] = (candidate) =>
    formatCidr(candidate) === '10.32.3.0/24' ? null : `${formatCidr(candidate)} overlaps X`
  assert.equal(choose({ clash, random: () => 0.3 }), '10.32.3.0/24')
  assert.throws(
    () => choose({ clash: () => '10.32.0.0/24 overlaps the route 10.0.0.0/8 dev wg0' }),
    {
      code: 'conflict',
      message:
        /^none of the 4 free \/24 subnets of 10\.32\.0\.0\/22 .* route 10\.0\.0\.0\/8 dev wg0/,
    },
  )
})

test('a pool without room for one subnet is a wrong setting, not an exhausted pool', () => {
  assert.throws(() => choose({ length: 21 }), { code: 'bad_input' })
  assert.throws(() => choose({ length: 23, skipFirstAndLast: true }), {
    code: 'bad_input',
    message: /the first and the last are never leased/,
  })
  assert.throws(() => choose({ min: parseIpv4('10.32.3.0'), max: parseIpv4('10.32.1.0') }), {
    code: 'bad_input',
  })
  assert.equal(choose({ length: 22 }), '10.32.0.0/22')
})

test('the last free /30 of a /8 is found at once', () => {
  // All but 10.200.3.8/30: the siblings on the way from the whole to the leaf.
  const last = parseCidr('10.200.3.8/30')
  const taken = Array.from({ length: 22 }, (_, i) => {
    const length = 9 + i
    const size = 2 ** (32 - length)
    const mine = Math.floor(last.base / size)
    return { base: (mine % 2 === 0 ? mine + 1 : mine - 1) * size, length }
  })
  const within = parseCidr('10.0.0.0/8')
  assert.equal(choose({ within, length: 30, taken, random: () => 0.7 }), '10.200.3.8/30')
  assert.throws(() => choose({ within, length: 30, taken: [...taken, last] }), {
    code: 'exhausted',
    message: /4194304 of 4194304/,
  })
})

test('in a huge network the tests of clashing are bounded, and a usable quarter is always found', () => {
  const within = parseCidr('10.0.0.0/8')
  let tests = 0
  const nowhere: SubnetWish['clash'] = () => `test ${++tests}`
  assert.throws(() => choose({ within, length: 30, clash: nowhere, random: () => 0.9 }), {
    code: 'conflict',
    message: /^none of 4096 tried of the 4194304 free /,
  })
  assert.equal(tests, 4096)
  const quarter: SubnetWish['clash'] = ({ base }) =>
    base >= parseIpv4('10.64.0.0') && base < parseIpv4('10.128.0.0') ? null : 'elsewhere'
  for (const random of [0, 0.1, 0.2, 0.5, 0.999]) {
    const found = choose({ within, length: 30, clash: quarter, random: () => random })
    assert.equal(quarter(parseCidr(found)), null, found)
  }
})

test('the tries are bounded, and reach the far end, also where little more is free than is tried', () => {
  const within = parseCidr('10.0.0.0/17')
  const taken = cidrs('10.0.0.0/30')
  let tests = 0
  const end: SubnetWish['clash'] = ({ base }) => {
    tests++
    return base >= parseIpv4('10.0.127.0') ? null : 'elsewhere'
  }
  const found = choose({ within, length: 30, taken, clash: end, random: () => 0 })
  assert.ok(parseCidr(found).base >= parseIpv4('10.0.127.0'))
  assert.ok(tests <= 4096)
})
