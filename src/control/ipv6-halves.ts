import { OverlayError } from '../errors.ts'
import { AddressPool6 } from '../ipam/address-pool.ts'
import { formatCidr6, type Cidr6 } from '../net/cidr6.ts'
import { formatIpv6 } from '../net/ipv6.ts'
import { allocate } from '../store/allocate.ts'
import type { ClusterView, Ipv6Half } from '../store/cluster-view.ts'
import { addressInside } from '../store/hazards.ts'
import type { Keyspace } from '../store/keyspace.ts'
import type { ClusterMirror } from '../store/mirror.ts'
import type { Store } from '../store/store.ts'
import { decideSubnet6 } from './decide-subnet6.ts'
import { givenBack } from './given-back.ts'
import type { HostFacts } from './host-facts.ts'
import type { HeldSubnet, HeldSubnet6, Journal } from './journal.ts'
import { settlesWithin, STORE_PATIENCE_MS } from './patience.ts'
import type { Publisher } from './publisher.ts'
import type { Subnet6Wish } from './subnet6-wish.ts'

export interface Ipv6HalvesOptions {
  readonly store: Store
  readonly keys: Keyspace
  readonly mirror: ClusterMirror
  readonly journal: Journal
  readonly publisher: Publisher
  readonly facts: () => HostFacts
  /** Adds to a view what the store has only just forgotten (WipeGuard). */
  readonly complete: (view: ClusterView) => ClusterView
}

/** The IPv6 halves of held subnets, until their networks come: given and taken away again. */
export class Ipv6Halves {
  readonly #options: Ipv6HalvesOptions

  constructor(options: Ipv6HalvesOptions) {
    this.#options = options
  }

  /**
   * Gives a held subnet its IPv6 half, in the store and then in the journal.
   * @throws OverlayError conflict, exhausted, bad_input, store_unavailable
   */
  async give(subnet: string, wish: Subnet6Wish): Promise<HeldSubnet> {
    const { store, keys, mirror, journal, publisher, complete, facts } = this.#options
    const { hazards } = facts()
    const hazard = (candidate: Cidr6): string | null => addressInside(candidate, hazards)
    // From the moment it can be in the store it must not be taken out again for want of a record.
    const forget = publisher.spare(subnet)
    try {
      const half = await publisher.writing((by) =>
        allocate(store, keys, (view) => {
          const held = journal.subnets.get(subnet)
          if (!held) throw givenBack(subnet)
          if (!this.#isFree(held)) throw takenMeanwhile(subnet)
          return decideSubnet6(complete(view), held, wish, { ...by, hazard }, keys)
        }),
      )
      // The watch brings it too.
      await mirror.refresh().catch(() => undefined)
      const ipv6 = heldHalf(half, wish)
      const held = await journal.subnets.update(subnet, (mine) =>
        this.#isFree(mine) ? { ...mine, ipv6 } : mine,
      )
      if (!held) throw givenBack(subnet)
      if (held.ipv6 !== ipv6) throw takenMeanwhile(subnet)
      return held
    } catch (error) {
      // What the store may have got and the journal has not is written over.
      void publisher.attempt()
      throw error
    } finally {
      forget()
    }
  }

  /** Takes it away again unless a network lives in the subnet by now: the journal first, the store follows. */
  async take(subnet: string): Promise<void> {
    const { journal, publisher } = this.#options
    const held = journal.subnets.get(subnet)
    if (!held?.ipv6) return
    await journal.subnets.update(subnet, (mine) =>
      this.#isEmpty(mine) ? { ...mine, ipv6: null } : mine,
    )
    await settlesWithin(publisher.attempt(), STORE_PATIENCE_MS)
  }

  /** Whether no network has lived in the subnet yet; one that is being made is journaled before it is bound. */
  #isFree(held: HeldSubnet): boolean {
    return held.networkId === null && this.#isEmpty(held)
  }

  #isEmpty({ subnet }: HeldSubnet): boolean {
    return !this.#options.journal.networks.values().some((network) => network.subnet === subnet)
  }
}

const takenMeanwhile = (subnet: string): OverlayError =>
  new OverlayError(
    'conflict',
    `another network took the subnet ${subnet} meanwhile; run the command again`,
  )

function heldHalf({ subnet, pool }: Ipv6Half, wish: Subnet6Wish): HeldSubnet6 {
  const texts = { subnet: formatCidr6(subnet), pool: pool && formatCidr6(pool) }
  if (wish.kind === 'docker') {
    return { ...texts, gateway: wish.gateway ?? formatIpv6(subnet.address + 1n), addresses: null }
  }
  const addresses = new AddressPool6(subnet)
  const gateway = addresses.request({ purpose: 'gateway', now: Date.now() })
  return { ...texts, gateway: formatIpv6(gateway), addresses: addresses.toRecord() }
}
