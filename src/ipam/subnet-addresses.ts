import { OverlayError } from '../errors.ts'
import type { Ip } from '../net/ip.ts'
import { formatIp } from '../net/ipv6.ts'
import type { AddressPool6Record, AddressPoolRecord } from './address-pool-record.ts'

/** What an address is for; it decides nothing but the words of a refusal and the gateway's rules. */
export type AddressPurpose = 'endpoint' | 'gateway' | 'reserved'

export interface AddressUse<Address extends Ip> {
  readonly ip: Address
  readonly purpose: AddressPurpose
  /** Milliseconds since the epoch: tells an address that was asked for and never used. */
  readonly since: number
}

export interface AddressRequest<Address extends Ip> {
  /** The one address wanted; without it the pool chooses. */
  readonly address?: Address
  readonly purpose: AddressPurpose
  readonly now: number
}

/** A subnet as far as its addresses are given out, in one family. */
export interface AddressSpan<Address extends Ip> {
  /** "10.32.5.0/24", "fd00:32:0:5::/64" */
  readonly subnet: string
  /** The ends of what may be given. */
  readonly first: Address
  readonly last: Address
  /** How many there are. */
  readonly size: number
  readonly next: (ip: Address) => Address
  /** @throws OverlayError bad_input */
  readonly parse: (text: string) => Address
  /** Why an address beyond those ends cannot be given: "is outside 10.32.5.0/24, the subnet of this host". */
  readonly refusal: (ip: Address) => string
  /** Says that all of that many are used, and what gives a host more. */
  readonly exhausted: (count: number) => OverlayError
}

type SubnetRecord = AddressPoolRecord | AddressPool6Record

/** How many freed addresses a record remembers: all of a /24, and a bounded file for larger ones. */
const FREED_IN_RECORD = 254

const USE_IN_WORDS: Record<AddressPurpose, string> = {
  endpoint: 'in use by a container',
  gateway: 'the gateway',
  reserved: 'reserved (--aux-address)',
}

/**
 * The addresses of one leased subnet, of either family.
 *
 * An address chosen here is the lowest that was never used, else the one whose release is longest ago. So a freed
 * address comes back last of all: other containers, connection trackers and name caches still take it
 * for its former holder for a while. The order needs no clock and no waiting time: a full subnet gives the oldest
 * freed address at once, and an explicit request takes any that is free.
 *
 * Work is constant per call; memory grows with the addresses that were used, not with the subnet.
 */
export class SubnetAddresses<Address extends Ip> {
  readonly #span: AddressSpan<Address>
  readonly #uses = new Map<Address, AddressUse<Address>>()
  /** Free addresses that were used before, the longest free first. */
  readonly #freed = new Set<Address>()
  /** No address below is both free and absent from #freed. */
  #unused: Address

  /** @throws OverlayError bad_input for a record that is not of this subnet */
  constructor(span: AddressSpan<Address>, record?: SubnetRecord) {
    this.#span = span
    this.#unused = span.first
    if (record) this.#restore(record)
  }

  /** How many addresses can be in use at once: 254 in a /24; in a /64 rounded to what a number holds. */
  get capacity(): number {
    return this.#span.size
  }

  get usedCount(): number {
    return this.#uses.size
  }

  /** Every address in use, by address. */
  uses(): AddressUse<Address>[] {
    return [...this.#uses.values()].sort((a, b) => (a.ip < b.ip ? -1 : 1))
  }

  /**
   * Takes an address. A gateway without a wish gets the subnet's first usable address; asking again
   * for the gateway gives the same one.
   * @throws OverlayError bad_input (outside the subnet, or an end that is never given), conflict, exhausted
   */
  request({ address, purpose, now }: AddressRequest<Address>): Address {
    const ip = address ?? (purpose === 'gateway' ? this.#gateway() : this.#choose())
    this.#refuseUnusable(ip)
    const use = this.#uses.get(ip)
    if (use?.purpose === 'gateway' && purpose === 'gateway') return ip
    if (use) {
      throw new OverlayError(
        'conflict',
        `${formatIp(ip)} is ${USE_IN_WORDS[use.purpose]} in ${this.#span.subnet}; choose another address or leave the choice to overlay-ts`,
      )
    }
    this.#freed.delete(ip)
    this.#uses.set(ip, { ip, purpose, since: now })
    return ip
  }

  /** Gives an address back; false when it was not in use, which is no error: Docker releases twice. */
  release(ip: Address): boolean {
    if (!this.#uses.delete(ip)) return false
    this.#freed.add(ip)
    return true
  }

  /** The state as the journal keeps it: a pool made with it goes on from there. */
  toRecord(): SubnetRecord {
    return {
      subnet: this.#span.subnet,
      // In their order, which tells the gateway from one that was asked for beside it.
      uses: [...this.#uses.values()].map(({ ip, purpose, since }) => ({
        address: formatIp(ip),
        purpose,
        since,
      })),
      freed: [...this.#freed].slice(-FREED_IN_RECORD).map(formatIp),
    }
  }

  #gateway(): Address {
    for (const use of this.#uses.values()) if (use.purpose === 'gateway') return use.ip
    const { first } = this.#span
    return this.#uses.has(first) ? this.#choose() : first
  }

  #choose(): Address {
    const { last, next, exhausted } = this.#span
    while (this.#unused <= last) {
      if (!this.#uses.has(this.#unused) && !this.#freed.has(this.#unused)) return this.#unused
      this.#unused = next(this.#unused)
    }
    const [longestFree] = this.#freed
    if (longestFree !== undefined) return longestFree
    const others = this.uses().filter((use) => use.purpose !== 'endpoint').length
    throw exhausted(this.capacity - others)
  }

  #refuseUnusable(ip: Address): void {
    const { first, last, refusal } = this.#span
    if (ip >= first && ip <= last) return
    throw new OverlayError(
      'bad_input',
      `${formatIp(ip)} ${refusal(ip)}; choose one of ${formatIp(first)} to ${formatIp(last)}`,
    )
  }

  #restore(record: SubnetRecord): void {
    const { subnet, parse } = this.#span
    if (record.subnet !== subnet) {
      throw new OverlayError(
        'bad_input',
        `the address record of ${record.subnet} cannot be that of ${subnet}; remove the network and create it again`,
      )
    }
    for (const { address, purpose, since } of record.uses) {
      const ip = parse(address)
      this.#refuseUnusable(ip)
      if (this.#uses.has(ip)) {
        throw new OverlayError(
          'bad_input',
          `the address record of ${record.subnet} lists ${address} twice; remove the network and create it again`,
        )
      }
      this.#uses.set(ip, { ip, purpose, since })
    }
    for (const address of record.freed) {
      const ip = parse(address)
      this.#refuseUnusable(ip)
      if (!this.#uses.has(ip)) this.#freed.add(ip)
    }
  }
}
