import { OverlayError } from '../errors.ts'
import { AddressPool, type AddressPurpose } from '../ipam/address-pool.ts'
import { containsIp, formatCidr, parseCidr } from '../net/cidr.ts'
import { formatIpv4, parseIpv4, type Ipv4 } from '../net/ipv4.ts'
import type { ClusterView } from '../store/cluster-view.ts'
import type { HeldSubnet, Journal } from './journal.ts'
import { hostName } from './taken.ts'
import { unclaimedUses } from './unclaimed-uses.ts'

/**
 * The addresses of this host's own subnets. A grant is in the journal before the caller has it; the
 * store is not asked, since a leased subnet is this host's alone.
 */
export class Addresses {
  readonly #journal: Journal
  readonly #view: () => ClusterView

  constructor(journal: Journal, view: () => ClusterView) {
    this.#journal = journal
    this.#view = view
  }

  /** Takes an address of a held subnet. @throws OverlayError bad_input, conflict, exhausted, not_found */
  request(subnet: string, purpose: AddressPurpose, address: Ipv4 | null): Promise<Ipv4> {
    return this.#change(subnet, (pool) => {
      if (address !== null && !containsIp(pool.subnet, address)) {
        throw this.#outside(pool, address)
      }
      const now = Date.now()
      return pool.request(address === null ? { purpose, now } : { address, purpose, now })
    })
  }

  /** Gives an address back. The gateway stays with its network; what is not in use is no error. */
  async release(subnet: string, address: Ipv4): Promise<void> {
    const held = this.#journal.subnets.get(subnet)
    if (!held?.addresses || held.gateway === formatIpv4(address)) return
    await this.#change(subnet, (pool) => pool.release(address))
  }

  /** The same unless it was given out after that time: then it is somebody else's by now. */
  async releaseOld(subnet: string, address: Ipv4, until: number): Promise<void> {
    const uses = this.#journal.subnets.get(subnet)?.addresses?.uses ?? []
    const use = uses.find((each) => each.address === formatIpv4(address))
    if (use && use.purpose === 'endpoint' && use.since <= until) await this.release(subnet, address)
  }

  /**
   * Makes another address the bridge's (`--gateway`): one of the subnet, or an anycast address of the
   * pool that every host of the overlay may give its bridge.
   */
  async moveGateway(subnet: string, gateway: Ipv4): Promise<void> {
    await this.#update(subnet, (held, pool) => {
      if (held.gateway === formatIpv4(gateway)) return held
      if (containsIp(pool.subnet, gateway)) {
        pool.request({ address: gateway, purpose: 'reserved', now: Date.now() })
      } else if (held.pool === null || !containsIp(parseCidr(held.pool), gateway)) {
        const places = held.pool === null ? subnet : `${subnet} or its pool ${held.pool}`
        throw new OverlayError(
          'bad_input',
          `--gateway ${formatIpv4(gateway)} is outside ${places}; leave it out, or choose one inside`,
        )
      } else {
        this.#refuseForeign(gateway)
      }
      pool.release(parseIpv4(held.gateway))
      return { ...held, gateway: formatIpv4(gateway) }
    })
  }

  /** Takes back what was given out and never used: its reply was lost, or dockerd died. */
  async reclaim(now: number): Promise<number> {
    let reclaimed = 0
    for (const { subnet, addresses } of this.#journal.subnets.values()) {
      const uses = addresses?.uses ?? []
      if (unclaimedUses(uses, this.#interfaces, now).length === 0) continue
      await this.#change(subnet, (pool) => {
        // Looked at again: an endpoint may have come with one of them meanwhile.
        const stale = unclaimedUses(pool.toRecord().uses, this.#interfaces, now)
        for (const { address } of stale) pool.release(parseIpv4(address))
        reclaimed += stale.length
      })
    }
    return reclaimed
  }

  readonly #interfaces = (): string[] =>
    this.#journal.endpoints.values().map(({ address }) => address)

  async #change<T>(subnet: string, change: (pool: AddressPool) => T): Promise<T> {
    let result: { readonly value: T } | undefined
    await this.#update(subnet, (held, pool) => {
      result = { value: change(pool) }
      return held
    })
    return result!.value
  }

  /** @throws OverlayError not_found, and whatever `change` throws; then nothing is written */
  async #update(
    subnet: string,
    change: (held: HeldSubnet, pool: AddressPool) => HeldSubnet,
  ): Promise<void> {
    const changed = await this.#journal.subnets.update(subnet, (held) => {
      if (!held.addresses) return held
      const pool = new AddressPool(parseCidr(held.subnet), held.addresses)
      return { ...change(held, pool), addresses: pool.toRecord() }
    })
    if (changed?.addresses) return
    throw new OverlayError(
      'not_found',
      `this host has no record of the subnet ${subnet}: remove the network and create it again`,
    )
  }

  #outside(pool: AddressPool, address: Ipv4): OverlayError {
    const lease = this.#view()
      .subnets.values()
      .find((other) => containsIp(other.subnet, address))
    const owner = lease
      ? `; it belongs to ${formatCidr(lease.subnet)} on host ${hostName(this.#view(), lease.hostId ?? '')}`
      : ''
    return new OverlayError(
      'bad_input',
      `${formatIpv4(address)} is not in ${formatCidr(pool.subnet)}, the subnet of this host${owner}; choose an address of this host's subnet, or run the container where its address lives`,
    )
  }

  /** An anycast gateway inside another host's subnet would shadow a container there. */
  #refuseForeign(gateway: Ipv4): void {
    const lease = this.#view()
      .subnets.values()
      .find((other) => containsIp(other.subnet, gateway))
    if (!lease) return
    throw new OverlayError(
      'conflict',
      `--gateway ${formatIpv4(gateway)} belongs to ${formatCidr(lease.subnet)} on host ${hostName(this.#view(), lease.hostId ?? '')}; choose one in the first subnet of the pool, which no host is given`,
    )
  }
}
