import { OverlayError } from '../errors.ts'
import { AddressPool6, type AddressPurpose } from '../ipam/address-pool.ts'
import { containsIp6, formatCidr6, parseCidr6 } from '../net/cidr6.ts'
import { formatIpv6, parseIpv6, type Ipv6 } from '../net/ipv6.ts'
import type { ClusterView } from '../store/cluster-view.ts'
import type { HeldSubnet6, Journal } from './journal.ts'
import { hostName } from './taken.ts'
import { unclaimedUses } from './unclaimed-uses.ts'

/**
 * The IPv6 addresses of this host's own subnets, under the same rules as the IPv4 ones (`Addresses`).
 * A subnet is named by its IPv4 text here too: "10.33.5.0/24".
 */
export class Addresses6 {
  readonly #journal: Journal
  readonly #view: () => ClusterView

  constructor(journal: Journal, view: () => ClusterView) {
    this.#journal = journal
    this.#view = view
  }

  /** Takes an address of a held subnet. @throws OverlayError bad_input, conflict, exhausted, not_found */
  request(subnet: string, purpose: AddressPurpose, address: Ipv6 | null): Promise<Ipv6> {
    return this.#change(subnet, (pool) => {
      if (address !== null && !containsIp6(pool.subnet, address)) {
        throw this.#outside(pool, address)
      }
      const now = Date.now()
      return pool.request(address === null ? { purpose, now } : { address, purpose, now })
    })
  }

  /** Gives an address back. The gateway stays with its network; what is not in use is no error. */
  async release(subnet: string, address: Ipv6): Promise<void> {
    const half = this.#journal.subnets.get(subnet)?.ipv6
    if (!half?.addresses || half.gateway === formatIpv6(address)) return
    await this.#change(subnet, (pool) => pool.release(address))
  }

  /** The same unless it was given out after that time: then it is somebody else's by now. */
  async releaseOld(subnet: string, address: Ipv6, until: number): Promise<void> {
    const uses = this.#journal.subnets.get(subnet)?.ipv6?.addresses?.uses ?? []
    const use = uses.find((each) => each.address === formatIpv6(address))
    if (use && use.purpose === 'endpoint' && use.since <= until) await this.release(subnet, address)
  }

  /**
   * Makes another address of the subnet the bridge's (`--gateway`). Each host's bridge has one of its own
   * subnet: unlike in IPv4, no host answers for what lies elsewhere in the pool.
   */
  async moveGateway(subnet: string, gateway: Ipv6): Promise<void> {
    const text = formatIpv6(gateway)
    await this.#update(subnet, (half, pool) => {
      if (half.gateway === text) return half
      if (!containsIp6(pool.subnet, gateway)) {
        throw new OverlayError(
          'bad_input',
          `--gateway ${text} is outside ${half.subnet}, this host's IPv6 subnet, and each host's bridge has an address of its own subnet; leave it out, or choose the subnet too: --ip-range`,
        )
      }
      pool.request({ address: gateway, purpose: 'reserved', now: Date.now() })
      pool.release(parseIpv6(half.gateway))
      return { ...half, gateway: text }
    })
  }

  /** Takes back what was given out and never used. */
  async reclaim(now: number): Promise<number> {
    let reclaimed = 0
    for (const { subnet, ipv6 } of this.#journal.subnets.values()) {
      const uses = ipv6?.addresses?.uses ?? []
      if (unclaimedUses(uses, this.#interfaces, now).length === 0) continue
      await this.#change(subnet, (pool) => {
        // Looked at again: an endpoint may have come with one of them meanwhile.
        const stale = unclaimedUses(pool.toRecord().uses, this.#interfaces, now)
        for (const { address } of stale) pool.release(parseIpv6(address))
        reclaimed += stale.length
      })
    }
    return reclaimed
  }

  readonly #interfaces = (): string[] =>
    this.#journal.endpoints.values().flatMap(({ address6 }) => address6 ?? [])

  async #change<T>(subnet: string, change: (pool: AddressPool6) => T): Promise<T> {
    let result: { readonly value: T } | undefined
    await this.#update(subnet, (half, pool) => {
      result = { value: change(pool) }
      return half
    })
    return result!.value
  }

  /** @throws OverlayError not_found, and whatever `change` throws; then nothing is written */
  async #update(
    subnet: string,
    change: (half: HeldSubnet6, pool: AddressPool6) => HeldSubnet6,
  ): Promise<void> {
    const changed = await this.#journal.subnets.update(subnet, (held) => {
      if (!held.ipv6?.addresses) return held
      const pool = new AddressPool6(parseCidr6(held.ipv6.subnet), held.ipv6.addresses)
      return { ...held, ipv6: { ...change(held.ipv6, pool), addresses: pool.toRecord() } }
    })
    if (changed?.ipv6?.addresses) return
    throw new OverlayError(
      'not_found',
      `this host has no record of an IPv6 subnet beside ${subnet}: remove the network and create it again`,
    )
  }

  #outside(pool: AddressPool6, address: Ipv6): OverlayError {
    const lease = this.#view()
      .subnets.values()
      .find(({ ipv6 }) => ipv6 && containsIp6(ipv6.subnet, address))
    const owner = lease?.ipv6
      ? `; it belongs to ${formatCidr6(lease.ipv6.subnet)} on host ${hostName(this.#view(), lease.hostId ?? '')}`
      : ''
    return new OverlayError(
      'bad_input',
      `${formatIpv6(address)} is not in ${formatCidr6(pool.subnet)}, the IPv6 subnet of this host${owner}; choose an address of this host's subnet, or run the container where its address lives`,
    )
  }
}
