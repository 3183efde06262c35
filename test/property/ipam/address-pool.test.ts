import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { addressPool6Record, addressPoolRecord } from '../../../src/ipam/address-pool-record.ts'
import { AddressPool, AddressPool6, type AddressPurpose } from '../../../src/ipam/address-pool.ts'
import type { SubnetAddresses } from '../../../src/ipam/subnet-addresses.ts'
import { lastOf, prefixOf } from '../../../src/net/cidr.ts'
import { lastOf6, prefixOf6 } from '../../../src/net/cidr6.ts'
import type { Ip } from '../../../src/net/ip.ts'

/** The rules of the pool over a plain list of all addresses: used ones apart, free ones in order of choice. */
class NaivePool<Address extends Ip> {
  readonly used = new Map<Address, AddressPurpose>()
  readonly free: Address[]
  readonly #first: Address

  constructor(all: readonly Address[]) {
    this.free = [...all]
    this.#first = all[0]!
  }

  request(address: Address | undefined, purpose: AddressPurpose): Address | 'refused' {
    const ip = address ?? this.choose(purpose)
    if (ip === undefined) return 'refused'
    if (purpose === 'gateway' && this.used.get(ip) === 'gateway') return ip
    const at = this.free.indexOf(ip)
    if (at < 0) return 'refused'
    this.free.splice(at, 1)
    this.used.set(ip, purpose)
    return ip
  }

  release(ip: Address): boolean {
    if (!this.used.delete(ip)) return false
    this.free.push(ip)
    return true
  }

  private choose(purpose: AddressPurpose): Address | undefined {
    if (purpose !== 'gateway') return this.free[0]
    const held = [...this.used].find(([, use]) => use === 'gateway')
    if (held) return held[0]
    return this.free.includes(this.#first) ? this.#first : this.free[0]
  }
}

type Step =
  | { do: 'request'; offset: number | undefined; purpose: AddressPurpose }
  | { do: 'release'; offset: number }
  | { do: 'restart' }

const offset = fc.nat(20)
const purpose = fc.constantFrom<AddressPurpose>('endpoint', 'endpoint', 'gateway', 'reserved')
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({
      do: fc.constant('request' as const),
      offset: fc.constant(undefined),
      purpose,
    }),
  },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('request' as const), offset, purpose }) },
  { weight: 4, arbitrary: fc.record({ do: fc.constant('release' as const), offset }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('restart' as const) }) },
)

/** A pool of a few addresses, in one of the families. */
interface Sample<Address extends Ip> {
  /** Of those that may be given. */
  readonly all: readonly Address[]
  /** The address that many after the subnet's own first; beyond the subnet too. */
  readonly at: (offset: number) => Address
  readonly fresh: () => SubnetAddresses<Address>
  /** A pool that goes on from the record of another, as the journal has it. */
  readonly restored: (json: string) => SubnetAddresses<Address>
}

const ipv4 = fc
  .tuple(fc.nat(0xffff_ffff), fc.integer({ min: 28, max: 30 }))
  .map(([ip, length]): Sample<number> => {
    const subnet = prefixOf(ip, length)
    const at = (offset: number): number => subnet.base + offset
    return {
      all: Array.from({ length: lastOf(subnet) - subnet.base - 1 }, (_, i) => at(i + 1)),
      at,
      fresh: () => new AddressPool(subnet),
      restored: (json) => new AddressPool(subnet, addressPoolRecord.parse(JSON.parse(json))),
    }
  })

const ipv6 = fc
  .tuple(fc.bigInt({ min: 0n, max: 2n ** 128n - 1n }), fc.integer({ min: 124, max: 126 }))
  .map(([ip, length]): Sample<bigint> => {
    const subnet = prefixOf6(ip, length)
    const at = (offset: number): bigint => subnet.address + BigInt(offset)
    return {
      all: Array.from({ length: Number(lastOf6(subnet) - subnet.address) }, (_, i) => at(i + 1)),
      at,
      fresh: () => new AddressPool6(subnet),
      restored: (json) => new AddressPool6(subnet, addressPool6Record.parse(JSON.parse(json))),
    }
  })

function checkAgainstList<Address extends Ip>(sample: Sample<Address>, steps: Step[]): void {
  const naive = new NaivePool(sample.all)
  let pool = sample.fresh()
  for (const step of steps) {
    if (step.do === 'restart') {
      pool = sample.restored(JSON.stringify(pool.toRecord()))
      continue
    }
    const address = step.offset === undefined ? undefined : sample.at(step.offset)
    if (step.do === 'release') {
      assert.equal(pool.release(address!), naive.release(address!))
      continue
    }
    const { purpose } = step
    const wish = { purpose, now: 0, ...(address === undefined ? {} : { address }) }
    assert.equal(
      outcome(() => pool.request(wish)),
      naive.request(address, purpose),
    )
    assert.equal(pool.usedCount, naive.used.size)
  }
  const uses = pool.uses().map((use): [Address, AddressPurpose] => [use.ip, use.purpose])
  assert.deepEqual(
    uses,
    [...naive.used].sort(([a], [b]) => (a < b ? -1 : 1)),
  )
}

test('the pool gives, refuses and takes back exactly as a list of all addresses would', () => {
  const steps = fc.array(step, { maxLength: 80 })
  fc.assert(fc.property(ipv4, steps, checkAgainstList), { numRuns: 500 })
  fc.assert(fc.property(ipv6, steps, checkAgainstList), { numRuns: 500 })
})

function outcome<Address extends Ip>(request: () => Address): Address | 'refused' {
  try {
    return request()
  } catch {
    return 'refused'
  }
}
