import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  chooseSubnet6,
  subnetLength6,
  ulaPool,
  ulaSubnet,
  type Subnet6Wish,
} from '../../../src/ipam/choose-subnet6.ts'
import { containsCidr6, formatCidr6, parseCidr6 } from '../../../src/net/cidr6.ts'

const POOL = parseCidr6('fd0d:cafe:1::/48')

const choose = (wish: Partial<Subnet6Wish> = {}): string =>
  formatCidr6(
    chooseSubnet6({ within: POOL, length: 64, index: 5, taken: [], clash: () => null, ...wish }),
  )

const cidrs = (...texts: string[]) => texts.map(parseCidr6)

test('hosts get a /64 of a /56 or wider, and sixteen bits more than a narrower pool', () => {
  const vectors: [string, number][] = [
    ['fd00::/16', 64],
    ['fd00::/48', 64],
    ['fd00::/56', 64],
    ['fd00::/57', 73],
    ['fd00:95::/64', 80],
    ['fd00:95::/108', 124],
    ['fd00:95::/112', 124],
  ]
  for (const [pool, length] of vectors) assert.equal(subnetLength6(parseCidr6(pool)), length, pool)
})

test('a pool that hosts cannot share is refused with the lengths that they can', () => {
  for (const pool of ['fd00::/15', 'fc00::/7', '::/0', 'fd00::/113', 'fd00::/128']) {
    assert.throws(() => subnetLength6(parseCidr6(pool)), {
      code: 'bad_input',
      message: `the IPv6 pool ${pool} cannot be shared by hosts; give one of a length from /16 to /112, such as /48`,
    })
  }
})

test('a pool of addresses that no container can have is refused', () => {
  assert.throws(() => subnetLength6(parseCidr6('fe80::/64')), {
    code: 'bad_input',
    message:
      'the IPv6 pool fe80::/64 overlaps fe80::/10, which is link-local, the same on every link; choose another --subnet, such as one of fd00::/8, or leave it out',
  })
  for (const pool of ['ff05::/16', '::/64', '::ffff:0.0.0.0/96', 'febf:ffff::/48']) {
    assert.throws(() => subnetLength6(parseCidr6(pool)), { code: 'bad_input' }, pool)
  }
  assert.equal(subnetLength6(parseCidr6('2001:db8::/32')), 64)
})

test('a seed has one pool, with the form of a unique local address', () => {
  const pool = ulaPool('/overlay-ts 10.33.0.0/17')
  assert.equal(formatCidr6(pool), formatCidr6(ulaPool('/overlay-ts 10.33.0.0/17')))
  assert.match(formatCidr6(pool), /^fd[\da-f]{2}:[\da-f]{1,4}:[\da-f]{1,4}::\/48$/)
  assert.notDeepEqual(ulaPool('/overlay-ts 10.33.128.0/17'), pool)
  assert.notDeepEqual(ulaPool('/other 10.33.0.0/17'), pool)
})

test('a seed has one subnet, which differs from others in more than sixteen bits', () => {
  const subnets = ['10.47.128.0/24', '10.47.129.0/24'].map((text) =>
    ulaSubnet(`/overlay-ts ${text}`),
  )
  for (const { length, address } of subnets) {
    assert.equal(length, 64)
    assert.equal(address >> 120n, 0xfdn)
    assert.equal(address & (2n ** 64n - 1n), 0n)
  }
  assert.notEqual(subnets[0]!.address >> 80n, subnets[1]!.address >> 80n)
})

test('pools and subnets of seeds stay what they were: a host that comes back must find its own', () => {
  assert.equal(formatCidr6(ulaPool('/overlay-ts 10.33.0.0/17')), 'fd8f:4bd6:962f::/48')
  assert.equal(formatCidr6(ulaSubnet('/overlay-ts 10.47.128.0/24')), 'fdbf:7c3c:9744:1ebc::/64')
})

test('the subnet has the number that the IPv4 one has', () => {
  assert.equal(choose({ index: 1 }), 'fd0d:cafe:1:1::/64')
  assert.equal(choose({ index: 5 }), 'fd0d:cafe:1:5::/64')
  assert.equal(choose({ index: 65_535 }), 'fd0d:cafe:1:ffff::/64')
  const within = parseCidr6('fd00:95::/64')
  assert.equal(choose({ within, length: 80, index: 5 }), 'fd00:95:0:0:5::/80')
})

test("the first subnet of a pool is nobody's", () => {
  assert.equal(choose({ index: 0 }), 'fd0d:cafe:1:1::/64')
  assert.equal(choose({ index: 65_536 }), 'fd0d:cafe:1:1::/64')
  const within = parseCidr6('fd00:95::/63')
  assert.equal(choose({ within, index: 0 }), 'fd00:95:0:1::/64')
  assert.equal(choose({ within: parseCidr6('fd00:95::/64'), index: 0 }), 'fd00:95::/64')
})

test('where that number is taken the next that is free is chosen, around the end', () => {
  assert.equal(choose({ taken: cidrs('fd0d:cafe:1:5::/64') }), 'fd0d:cafe:1:6::/64')
  assert.equal(choose({ taken: cidrs('fd0d:cafe:1:4::/62') }), 'fd0d:cafe:1:8::/64')
  assert.equal(choose({ taken: cidrs('fd0d:cafe:1:5::7:0/112') }), 'fd0d:cafe:1:6::/64')
  const end = { index: 65_535, taken: cidrs('fd0d:cafe:1:ffff::/64', 'fd0d:cafe:1:1::/64') }
  assert.equal(choose(end), 'fd0d:cafe:1:2::/64')
  assert.equal(choose({ taken: cidrs('fd0d:cafe:2::/48', '2001:db8::/32') }), 'fd0d:cafe:1:5::/64')
})

test('a subnet that clashes on this host is passed over, and when all do the refusal names the clash', () => {
  const clash: Subnet6Wish['clash'] = (candidate) =>
    containsCidr6(parseCidr6('fd00:95::/62'), candidate) ? 'overlaps a route' : null
  assert.equal(choose({ within: parseCidr6('fd00:95::/60'), index: 2, clash }), 'fd00:95:0:4::/64')
  assert.throws(() => choose({ within: parseCidr6('fd00:95::/62'), index: 2, clash }), {
    code: 'conflict',
    message: /^none of the 3 free \/64 subnets of fd00:95::\/62 .* overlaps a route/,
  })
})

test('when nothing is free the refusal counts what could be leased', () => {
  const taken = cidrs('fd00:95:0:1::/64', 'fd00:95:0:2::/63')
  assert.throws(() => choose({ within: parseCidr6('fd00:95::/62'), taken }), {
    code: 'exhausted',
    message: /^fd00:95::\/62 has no free \/64 subnet: 3 of 3 are taken; /,
  })
})

test('the widest pool costs no more than another, and its tests of clashing are bounded', () => {
  const within = parseCidr6('fd00::/16')
  assert.equal(choose({ within, index: 2 ** 48 - 1 }), 'fd00:ffff:ffff:ffff::/64')
  let tests = 0
  assert.throws(() => choose({ within, clash: () => `test ${++tests}` }), {
    code: 'conflict',
    message: /^none of 4096 tried of the 281474976710655 free /,
  })
  assert.equal(tests, 4096)
})
