import assert from 'node:assert/strict'
import { test } from 'node:test'
import { addressPool6Record } from '../../../src/ipam/address-pool-record.ts'
import { AddressPool6 } from '../../../src/ipam/address-pool.ts'
import { parseCidr6 } from '../../../src/net/cidr6.ts'
import { formatIpv6, parseIpv6 } from '../../../src/net/ipv6.ts'

const pool = (subnet = 'fd0d:cafe:1:5::/64'): AddressPool6 => new AddressPool6(parseCidr6(subnet))

const take = (from: AddressPool6, purpose: 'endpoint' | 'gateway', address?: string): string =>
  formatIpv6(
    from.request({
      purpose,
      now: 0,
      ...(address === undefined ? {} : { address: parseIpv6(address) }),
    }),
  )

test('the gateway is ::1 of the subnet, and containers follow from ::2', () => {
  const addresses = pool()
  assert.equal(take(addresses, 'gateway'), 'fd0d:cafe:1:5::1')
  assert.equal(take(addresses, 'gateway'), 'fd0d:cafe:1:5::1')
  take(addresses, 'endpoint', 'fd0d:cafe:1:5::3')
  assert.deepEqual(
    [take(addresses, 'endpoint'), take(addresses, 'endpoint')],
    ['fd0d:cafe:1:5::2', 'fd0d:cafe:1:5::4'],
  )
})

test('an address anywhere in a /64 is given by name, and costs no more than another', () => {
  const addresses = pool()
  const far = 'fd0d:cafe:1:5:dead:beef:0:1'
  const last = 'fd0d:cafe:1:5:ffff:ffff:ffff:ffff'
  assert.equal(take(addresses, 'endpoint', far), far)
  assert.equal(take(addresses, 'endpoint', last), last)
  assert.equal(take(addresses, 'endpoint'), 'fd0d:cafe:1:5::1')
  assert.equal(addresses.usedCount, 2 + 1)
  assert.throws(() => take(addresses, 'endpoint', far), {
    code: 'conflict',
    message: `${far} is in use by a container in fd0d:cafe:1:5::/64; choose another address or leave the choice to overlay-ts`,
  })
  addresses.release(parseIpv6(far))
  assert.equal(take(addresses, 'endpoint'), 'fd0d:cafe:1:5::2')
})

test("an address outside, or the host's own, is refused with the range to choose from", () => {
  for (const [address, reason] of [
    ['fd0d:cafe:1:6::1', 'is outside fd0d:cafe:1:5::/64, the subnet of this host'],
    ['fd0d:cafe:1:5::', "is this host's own address in fd0d:cafe:1:5::/64"],
  ] as const) {
    assert.throws(() => take(pool(), 'endpoint', address), {
      code: 'bad_input',
      message: `${address} ${reason}; choose one of fd0d:cafe:1:5::1 to fd0d:cafe:1:5:ffff:ffff:ffff:ffff`,
    })
  }
})

test('a /124 gives fifteen addresses, its last among them, and says so when it is full', () => {
  const addresses = pool('fd00:95::10/124')
  assert.equal(addresses.capacity, 15)
  assert.equal(take(addresses, 'gateway'), 'fd00:95::11')
  const given = Array.from({ length: 14 }, () => take(addresses, 'endpoint'))
  assert.equal(given.at(-1), 'fd00:95::1f')
  assert.throws(() => take(addresses, 'endpoint'), {
    code: 'exhausted',
    message:
      'fd00:95::10/124 has no free address: 14 of 14 are used; an overlay made with a shorter IPv6 --subnet gives each host more',
  })
  addresses.release(parseIpv6('fd00:95::15'))
  assert.equal(take(addresses, 'endpoint'), 'fd00:95::15')
})

test('the smallest subnet has three addresses, and a /127 or a /15 is none', () => {
  const smallest = pool('fd00:95::4/126')
  assert.deepEqual(
    Array.from({ length: 3 }, () => take(smallest, 'endpoint')),
    ['fd00:95::5', 'fd00:95::6', 'fd00:95::7'],
  )
  for (const subnet of ['fd00::/127', 'fd00::/128', 'fd00::/15', '::/0']) {
    assert.throws(() => pool(subnet), { code: 'bad_input', message: /from \/16 to \/126$/ })
  }
})

test('the record is plain JSON that its schema accepts, and a pool goes on from it', () => {
  const addresses = pool()
  addresses.request({ purpose: 'gateway', now: 1000 })
  const first = addresses.request({ purpose: 'endpoint', now: 2000 })
  addresses.request({ purpose: 'endpoint', now: 3000 })
  addresses.release(first)
  const record = addressPool6Record.parse(JSON.parse(JSON.stringify(addresses.toRecord())))
  assert.deepEqual(record, {
    subnet: 'fd0d:cafe:1:5::/64',
    uses: [
      { address: 'fd0d:cafe:1:5::1', purpose: 'gateway', since: 1000 },
      { address: 'fd0d:cafe:1:5::3', purpose: 'endpoint', since: 3000 },
    ],
    freed: ['fd0d:cafe:1:5::2'],
  })
  const restored = new AddressPool6(addresses.subnet, record)
  assert.deepEqual(restored.uses(), addresses.uses())
  assert.equal(take(restored, 'endpoint'), 'fd0d:cafe:1:5::4')
})

test('a record of another subnet, or one that contradicts itself, is refused', () => {
  const use = { address: 'fd00:95::2', purpose: 'endpoint' as const, since: 0 }
  const restore = (record: object): AddressPool6 =>
    new AddressPool6(
      parseCidr6('fd00:95::/64'),
      addressPool6Record.parse({ subnet: 'fd00:95::/64', uses: [], freed: [], ...record }),
    )
  assert.equal(restore({ uses: [use] }).usedCount, 1)
  assert.throws(() => restore({ subnet: 'fd00:96::/64' }), { code: 'bad_input' })
  assert.throws(() => restore({ uses: [use, use] }), { code: 'bad_input', message: /twice/ })
  assert.throws(() => restore({ uses: [{ ...use, address: 'fd00:96::2' }] }), { code: 'bad_input' })
  assert.throws(() => restore({ freed: ['fd00:95::'] }), { code: 'bad_input' })
  assert.throws(() => restore({ uses: [{ ...use, address: '10.32.5.2' }] }), { name: 'ZodError' })
})

test('65,000 containers in a /64 cost memory and time for themselves', () => {
  const addresses = pool()
  const started = performance.now()
  const given = new Set<bigint>()
  for (let i = 0; i < 65_000; i++) given.add(addresses.request({ purpose: 'endpoint', now: i }))
  for (const ip of given) addresses.release(ip)
  assert.equal(given.size, 65_000)
  assert.equal(addresses.toRecord().freed.length, 254)
  // A scan from the start for each would be two billion steps.
  assert.ok(performance.now() - started < 5000)
})
