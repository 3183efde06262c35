import { OverlayError } from '../errors.ts'
import { containsIp, formatCidr, lastOf, parseCidr, sameCidr, type Cidr } from '../net/cidr.ts'
import { formatIpv4, parseIpv4, type Ipv4 } from '../net/ipv4.ts'
import type { AddressPoolRecord } from './address-pool-record.ts'

/** What an address is for; it decides nothing but the words of a refusal and the gateway's rules. */
export type AddressPurpose = 'endpoint' | 'gateway' | 'reserved'

export interface AddressUse {
  readonly ip: Ipv4
  readonly purpose: AddressPurpose
  /** Milliseconds since the epoch: tells an address that was asked for and never used. */
  readonly since: number
}

export interface AddressRequest {
  /** The one address wanted; without it the pool chooses. */
  readonly address?: Ipv4
  readonly purpose: AddressPurpose
  readonly now: number
}

/** Shortest and longest prefix that is a host's subnet: a /31 has no address between its ends. */
const SHORTEST = 8
const LONGEST = 30

/** How many freed addresses a record remembers: all of a /24, and a bounded file for larger ones. */
const FREED_IN_RECORD = 254

const USE_IN_WORDS: Record<AddressPurpose, string> = {
  endpoint: 'in use by a container',
  gateway: 'the gateway',
  reserved: 'reserved (--aux-address)',
}

/**
 * The addresses of one leased subnet. The first (the host's own in this overlay) and the last (broadcast) are
 * never given.
 *
 * An address chosen here is the lowest that was never used, else the one whose release is longest ago. So a freed
 * address comes back last of all: other containers, connection trackers and name caches still take it
 * for its former holder for a while. The order needs no clock and no waiting time: a full subnet gives the oldest
 * freed address at once, and an explicit request takes any that is free.
 *
 * Work is constant per call; memory grows with the addresses that were used, not with the subnet.
 */
export class AddressPool {
  readonly subnet: Cidr
  readonly #first: Ipv4
  readonly #last: Ipv4
  readonly #uses = new Map<Ipv4, AddressUse>()
  /** Free addresses that were used before, the longest free first. */
  readonly #freed = new Set<Ipv4>()
  /** No address below is both free and absent from #freed. */
  #unused: Ipv4

  /** @throws OverlayError bad_input: a length outside 8 to 30, or a record that is not of this subnet */
  constructor(subnet: Cidr, record?: AddressPoolRecord) {
    if (subnet.length < SHORTEST || subnet.length > LONGEST) {
      throw new OverlayError(
        'bad_input',
        `${formatCidr(subnet)} cannot be a host's subnet; give one of a length from /${SHORTEST} to /${LONGEST}`,
      )
    }
    this.subnet = subnet
    this.#first = subnet.base + 1
    this.#last = lastOf(subnet) - 1
    this.#unused = this.#first
    if (record) this.#restore(record)
  }

  /** How many addresses can be in use at once: 254 in a /24. */
  get capacity(): number {
    return this.#last - this.#first + 1
  }

  get usedCount(): number {
    return this.#uses.size
  }

  /** Every address in use, by address. */
  uses(): AddressUse[] {
    return [...this.#uses.values()].sort((a, b) => a.ip - b.ip)
  }

  /**
   * Takes an address. A gateway without a wish gets the subnet's first usable address; asking again
   * for the gateway gives the same one.
   * @throws OverlayError bad_input (outside the subnet, or one of its ends), conflict, exhausted
   */
  request({ address, purpose, now }: AddressRequest): Ipv4 {
    const ip = address ?? (purpose === 'gateway' ? this.#gateway() : this.#choose())
    this.#refuseUnusable(ip)
    const use = this.#uses.get(ip)
    if (use?.purpose === 'gateway' && purpose === 'gateway') return ip
    if (use) {
      throw new OverlayError(
        'conflict',
        `${formatIpv4(ip)} is ${USE_IN_WORDS[use.purpose]} in ${formatCidr(this.subnet)}; choose another address or leave the choice to overlay-ts`,
      )
    }
    this.#freed.delete(ip)
    this.#uses.set(ip, { ip, purpose, since: now })
    return ip
  }

  /** Gives an address back; false when it was not in use, which is no error: Docker releases twice. */
  release(ip: Ipv4): boolean {
    if (!this.#uses.delete(ip)) return false
    this.#freed.add(ip)
    return true
  }

  /** The state as the journal keeps it: `new AddressPool(subnet, record)` goes on from there. */
  toRecord(): AddressPoolRecord {
    return {
      subnet: formatCidr(this.subnet),
      uses: this.uses().map(({ ip, purpose, since }) => ({
        address: formatIpv4(ip),
        purpose,
        since,
      })),
      freed: [...this.#freed].slice(-FREED_IN_RECORD).map(formatIpv4),
    }
  }

  #gateway(): Ipv4 {
    for (const use of this.#uses.values()) if (use.purpose === 'gateway') return use.ip
    return this.#uses.has(this.#first) ? this.#choose() : this.#first
  }

  #choose(): Ipv4 {
    while (this.#unused <= this.#last) {
      if (!this.#uses.has(this.#unused) && !this.#freed.has(this.#unused)) return this.#unused
      this.#unused++
    }
    const [longestFree] = this.#freed
    if (longestFree !== undefined) return longestFree
    const others = this.uses().filter((use) => use.purpose !== 'endpoint').length
    const count = this.capacity - others
    throw new OverlayError(
      'exhausted',
      `${formatCidr(this.subnet)} has no free address: ${count} of ${count} are used; a shorter prefix gives a host more: SUBNET_LEN for every new network, --ipam-opt subnet-len= for one`,
    )
  }

  #refuseUnusable(ip: Ipv4): void {
    if (ip >= this.#first && ip <= this.#last) return
    const choice = `choose one of ${formatIpv4(this.#first)} to ${formatIpv4(this.#last)}`
    const reason = !containsIp(this.subnet, ip)
      ? `is outside ${formatCidr(this.subnet)}, the subnet of this host`
      : ip < this.#first
        ? `is this host's own address in ${formatCidr(this.subnet)}`
        : `is the broadcast address of ${formatCidr(this.subnet)}`
    throw new OverlayError('bad_input', `${formatIpv4(ip)} ${reason}; ${choice}`)
  }

  #restore(record: AddressPoolRecord): void {
    if (!sameCidr(parseCidr(record.subnet), this.subnet)) {
      throw new OverlayError(
        'bad_input',
        `the address record of ${record.subnet} cannot be that of ${formatCidr(this.subnet)}; remove the network and create it again`,
      )
    }
    for (const { address, purpose, since } of record.uses) {
      const ip = parseIpv4(address)
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
      const ip = parseIpv4(address)
      this.#refuseUnusable(ip)
      if (!this.#uses.has(ip)) this.#freed.add(ip)
    }
  }
}
