import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { addressPoolRecord } from '../../../src/ipam/address-pool-record.ts'
import { AddressPool, type AddressPurpose } from '../../../src/ipam/address-pool.ts'
import { lastOf, prefixOf, type Cidr } from '../../../src/net/cidr.ts'

/** The rules of the pool over a plain list of all addresses: used ones apart, free ones in order of choice. */
class NaivePool {
  readonly used = new Map<number, AddressPurpose>()
  readonly free: number[] = []
  constructor(subnet: Cidr) {
    for (let ip = subnet.base + 1; ip < lastOf(subnet); ip++) this.free.push(ip)
  }

  request(address: number | undefined, purpose: AddressPurpose): number | 'refused' {
    const ip = address ?? this.choose(purpose)
    if (ip === undefined) return 'refused'
    if (purpose === 'gateway' && this.used.get(ip) === 'gateway') return ip
    const at = this.free.indexOf(ip)
    if (at < 0) return 'refused'
    this.free.splice(at, 1)
    this.used.set(ip, purpose)
    return ip
  }

  release(ip: number): boolean {
    if (!this.used.delete(ip)) return false
    this.free.push(ip)
    return true
  }

  private choose(purpose: AddressPurpose): number | undefined {
    if (purpose !== 'gateway') return this.free[0]
    const held = [...this.used].find(([, use]) => use === 'gateway')
    if (held) return held[0]
    return this.free.includes(this.first) ? this.first : this.free[0]
  }

  private get first(): number {
    return Math.min(...this.free, ...this.used.keys())
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

test('the pool gives, refuses and takes back exactly as a list of all addresses would', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 28, max: 30 }),
      fc.nat(0xffff_ffff),
      fc.array(step, { maxLength: 80 }),
      (length, ip, steps) => {
        const subnet = prefixOf(ip, length)
        const naive = new NaivePool(subnet)
        let pool = new AddressPool(subnet)
        for (const step of steps) {
          if (step.do === 'restart') {
            const text = JSON.stringify(pool.toRecord())
            pool = new AddressPool(subnet, addressPoolRecord.parse(JSON.parse(text)))
            continue
          }
          const address = step.offset === undefined ? undefined : subnet.base + step.offset
          if (step.do === 'release') {
            assert.equal(pool.release(address!), naive.release(address!))
            continue
          }
          const wish = {
            purpose: step.purpose,
            now: 0,
            ...(address === undefined ? {} : { address }),
          }
          assert.equal(
            outcome(() => pool.request(wish)),
            naive.request(address, step.purpose),
          )
          assert.equal(pool.usedCount, naive.used.size)
        }
        const uses = pool.uses().map((use): [number, AddressPurpose] => [use.ip, use.purpose])
        assert.deepEqual(
          uses,
          [...naive.used].sort(([a], [b]) => a - b),
        )
      },
    ),
    { numRuns: 500 },
  )
})

function outcome(request: () => number): number | 'refused' {
  try {
    return request()
  } catch {
    return 'refused'
  }
}
