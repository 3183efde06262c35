import assert from 'node:assert/strict'
import { test } from 'node:test'
import { addressPoolRecord } from '../../../src/ipam/address-pool-record.ts'
import { AddressPool } from '../../../src/ipam/address-pool.ts'
import { parseCidr } from '../../../src/net/cidr.ts'
import { formatIpv4, parseIpv4 } from '../../../src/net/ipv4.ts'

const pool = (subnet = '10.32.5.0/24'): AddressPool => new AddressPool(parseCidr(subnet))

const endpoint = (from: AddressPool, address?: string): string =>
  formatIpv4(
    from.request({
      purpose: 'endpoint',
      now: 0,
      ...(address === undefined ? {} : { address: parseIpv4(address) }),
    }),
  )

const gateway = (from: AddressPool, address?: string): string =>
  formatIpv4(
    from.request({
      purpose: 'gateway',
      now: 0,
      ...(address === undefined ? {} : { address: parseIpv4(address) }),
    }),
  )

test('the gateway is the first usable address, and asking again gives the same', () => {
  const addresses = pool()
  assert.equal(gateway(addresses), '10.32.5.1')
  assert.equal(gateway(addresses), '10.32.5.1')
  assert.equal(gateway(addresses, '10.32.5.1'), '10.32.5.1')
  assert.equal(addresses.usedCount, 1)
})

test('a gateway chosen by the user is given again to whoever asks for the gateway', () => {
  const addresses = pool()
  assert.equal(gateway(addresses, '10.32.5.254'), '10.32.5.254')
  assert.equal(gateway(addresses), '10.32.5.254')
})

test('a gateway asked for late takes a free address when the first is a container', () => {
  const addresses = pool()
  assert.equal(endpoint(addresses), '10.32.5.1')
  assert.equal(gateway(addresses), '10.32.5.2')
})

test('addresses are given in order, around the ones taken by name', () => {
  const addresses = pool()
  gateway(addresses)
  endpoint(addresses, '10.32.5.3')
  assert.deepEqual(
    [endpoint(addresses), endpoint(addresses), endpoint(addresses)],
    ['10.32.5.2', '10.32.5.4', '10.32.5.5'],
  )
})

test('a /24 gives 254 addresses, never its first nor its last, and says so when it is full', () => {
  const addresses = pool()
  gateway(addresses)
  const given = new Set(Array.from({ length: 253 }, () => endpoint(addresses)))
  assert.equal(given.size, 253)
  assert.ok(!given.has('10.32.5.0') && !given.has('10.32.5.1') && !given.has('10.32.5.255'))
  assert.equal(addresses.usedCount, addresses.capacity)
  assert.throws(() => endpoint(addresses), {
    code: 'exhausted',
    message:
      '10.32.5.0/24 has no free address: 253 of 253 are used; remove containers that are not needed, or make a new overlay whose hosts have more: --ipam-opt subnet-len=23 in a pool of /21 or larger (with --ipam-driver null, -o subnet-len=)',
  })
})

test('a freed address comes back last of all', () => {
  const addresses = pool('10.32.5.0/29')
  gateway(addresses)
  const first = endpoint(addresses)
  addresses.release(parseIpv4(first))
  const rest = Array.from({ length: 4 }, () => endpoint(addresses))
  assert.ok(!rest.includes(first))
  assert.equal(endpoint(addresses), first)
})

test('of several freed addresses the one that is free the longest comes back first', () => {
  const addresses = pool('10.32.5.0/29')
  const all = Array.from({ length: 6 }, () => endpoint(addresses))
  const order = [all[4]!, all[1]!, all[3]!]
  for (const address of order) addresses.release(parseIpv4(address))
  assert.deepEqual(
    order.map(() => endpoint(addresses)),
    order,
  )
})

test('an address asked for by name is given the moment after it was freed', () => {
  const addresses = pool()
  const address = endpoint(addresses)
  addresses.release(parseIpv4(address))
  assert.equal(endpoint(addresses, address), address)
})

test('releasing what is not in use is no error and changes nothing', () => {
  const addresses = pool()
  const before = addresses.toRecord()
  assert.equal(addresses.release(parseIpv4('10.32.5.9')), false)
  assert.equal(addresses.release(parseIpv4('192.168.0.1')), false)
  assert.deepEqual(addresses.toRecord(), before)
  const given = parseIpv4(endpoint(addresses))
  assert.equal(addresses.release(given), true)
  assert.equal(addresses.release(given), false)
})

test('an address in use is refused with what it is used for', () => {
  const addresses = pool()
  gateway(addresses)
  endpoint(addresses, '10.32.5.9')
  addresses.request({ address: parseIpv4('10.32.5.10'), purpose: 'reserved', now: 0 })
  assert.throws(() => endpoint(addresses, '10.32.5.1'), {
    code: 'conflict',
    message: /^10\.32\.5\.1 is the gateway in 10\.32\.5\.0\/24; /,
  })
  assert.throws(() => gateway(addresses, '10.32.5.9'), {
    code: 'conflict',
    message: /^10\.32\.5\.9 is in use by a container in /,
  })
  assert.throws(() => endpoint(addresses, '10.32.5.10'), {
    code: 'conflict',
    message: /^10\.32\.5\.10 is reserved \(--aux-address\) in /,
  })
})

test('an address outside the subnet, or at one of its ends, is refused with the range to choose from', () => {
  for (const [address, reason] of [
    ['10.32.6.1', 'is outside 10.32.5.0/24, the subnet of this host'],
    ['10.32.5.0', "is this host's own address in 10.32.5.0/24"],
    ['10.32.5.255', 'is the broadcast address of 10.32.5.0/24'],
  ] as const) {
    assert.throws(() => endpoint(pool(), address), {
      code: 'bad_input',
      message: `${address} ${reason}; choose one of 10.32.5.1 to 10.32.5.254`,
    })
  }
})

test('the smallest subnet is a /30 with two addresses, and a /31 or a /7 is none', () => {
  const smallest = pool('10.0.0.4/30')
  assert.deepEqual([endpoint(smallest), endpoint(smallest)], ['10.0.0.5', '10.0.0.6'])
  assert.throws(() => endpoint(smallest), { code: 'exhausted' })
  for (const subnet of ['10.0.0.0/31', '10.0.0.0/32', '10.0.0.0/7', '0.0.0.0/0']) {
    assert.throws(() => pool(subnet), { code: 'bad_input' })
  }
})

test('the record is plain JSON that its schema accepts, and a pool goes on from it', () => {
  const addresses = pool()
  addresses.request({ purpose: 'gateway', now: 1000 })
  const first = addresses.request({ purpose: 'endpoint', now: 2000 })
  addresses.request({ purpose: 'endpoint', now: 3000 })
  addresses.release(first)
  const record = addressPoolRecord.parse(JSON.parse(JSON.stringify(addresses.toRecord())))
  assert.deepEqual(record, {
    subnet: '10.32.5.0/24',
    uses: [
      { address: '10.32.5.1', purpose: 'gateway', since: 1000 },
      { address: '10.32.5.3', purpose: 'endpoint', since: 3000 },
    ],
    freed: ['10.32.5.2'],
  })
  const restored = new AddressPool(addresses.subnet, record)
  assert.deepEqual(restored.uses(), addresses.uses())
  assert.equal(endpoint(restored), '10.32.5.4')
})

test('of two gateways the first one stays the gateway, also in a pool that goes on from a record', () => {
  const addresses = pool()
  gateway(addresses, '10.32.5.254')
  gateway(addresses, '10.32.5.1')
  const record = addressPoolRecord.parse(addresses.toRecord())
  const restored = new AddressPool(addresses.subnet, record)
  for (const each of [addresses, restored]) assert.equal(gateway(each), '10.32.5.254')
})

test('a record of another subnet, or one that contradicts itself, is refused', () => {
  const use = { address: '10.32.5.2', purpose: 'endpoint' as const, since: 0 }
  const subnet = parseCidr('10.32.5.0/24')
  const restore = (record: object): AddressPool =>
    new AddressPool(
      subnet,
      addressPoolRecord.parse({ subnet: '10.32.5.0/24', uses: [], freed: [], ...record }),
    )
  assert.throws(() => restore({ subnet: '10.32.6.0/24' }), { code: 'bad_input' })
  assert.throws(() => restore({ uses: [use, use] }), { code: 'bad_input', message: /twice/ })
  assert.throws(() => restore({ uses: [{ ...use, address: '10.32.6.2' }] }), { code: 'bad_input' })
  assert.throws(() => restore({ freed: ['10.32.5.255'] }), { code: 'bad_input' })
  assert.throws(() => restore({ uses: [{ ...use, address: '010.32.5.2' }] }), { name: 'ZodError' })
})

test('a record stays small however many addresses of a large subnet were freed', () => {
  const addresses = pool('10.0.0.0/12')
  for (let i = 0; i < 5000; i++) {
    addresses.release(addresses.request({ purpose: 'endpoint', now: i }))
  }
  const { freed } = addresses.toRecord()
  assert.equal(freed.length, 254)
  assert.equal(freed.at(-1), formatIpv4(addresses.subnet.base + 5000))
})

test('65,000 containers in a /12 cost memory and time for themselves, not for a million addresses', () => {
  const addresses = pool('10.0.0.0/12')
  assert.equal(addresses.capacity, 2 ** 20 - 2)
  const started = performance.now()
  const given = new Set<number>()
  for (let i = 0; i < 65_000; i++) given.add(addresses.request({ purpose: 'endpoint', now: i }))
  for (const ip of given) addresses.release(ip)
  assert.equal(given.size, 65_000)
  // A scan from the start for each would be two billion steps.
  assert.ok(performance.now() - started < 5000)
})
