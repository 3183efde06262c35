import { messageOf, OverlayError } from '../errors.ts'
import { AddressPool } from '../ipam/address-pool.ts'
import { routeClash } from '../ipam/route-clash.ts'
import type { Log } from '../log.ts'
import { onLinkRoutes } from '../linux/on-link-routes.ts'
import { formatCidr, type Cidr } from '../net/cidr.ts'
import { formatIpv4 } from '../net/ipv4.ts'
import { allocate } from '../store/allocate.ts'
import type { Keyspace } from '../store/keyspace.ts'
import type { ClusterMirror } from '../store/mirror.ts'
import type { Store } from '../store/store.ts'
import { decideNaming } from './decide-naming.ts'
import { decideSubnet, type GrantedSubnet } from './decide-subnet.ts'
import type { HostFacts } from './host-facts.ts'
import type { HeldSubnet, Journal } from './journal.ts'
import type { Publisher } from './publisher.ts'
import type { SubnetWish } from './subnet-wish.ts'

/** How long a leased subnet waits for its network before it is given back. */
export const UNBOUND_MS = 60_000

export interface SubnetsOptions {
  readonly store: Store
  readonly keys: Keyspace
  readonly mirror: ClusterMirror
  readonly journal: Journal
  readonly publisher: Publisher
  readonly poolLength: number
  readonly facts: () => HostFacts
  readonly log: Log
}

/** The subnets that this host holds: leased, named, given back. */
export class Subnets {
  readonly #options: SubnetsOptions
  /** Why a held subnet has no overlay although its network's name is known. */
  readonly #refusals = new Map<string, OverlayError>()

  constructor(options: SubnetsOptions) {
    this.#options = options
  }

  /**
   * Leases a subnet in the store and journals it; both or neither.
   * @param gateway for Docker's own IPAM: the address that Docker chose; null takes the first one
   * @throws OverlayError conflict, exhausted, bad_input, store_unavailable
   */
  async lease(wish: SubnetWish, gateway: string | null): Promise<HeldSubnet> {
    const { store, keys, mirror, journal, publisher, poolLength, facts } = this.#options
    const by = await publisher.by()
    const prefixes = {
      routes: (await onLinkRoutes()).map(({ prefix, dev }) => ({
        to: prefix,
        dev: dev ?? 'nowhere',
      })),
      nameservers: facts().nameservers,
    }
    const claimant = {
      ...by,
      poolLength,
      clash: (candidate: Cidr) => routeClash(candidate, prefixes),
      random: Math.random,
    }
    let granted: GrantedSubnet | undefined
    const forget: (() => void)[] = []
    try {
      granted = await allocate(store, keys, (view) => {
        const decision = decideSubnet(view, wish, claimant, keys)
        // From the moment it can be in the store it must not be taken for a leftover.
        forget.push(publisher.spare(formatCidr(decision.result.subnet)))
        return decision
      })
      await mirror.refresh()
      const held = heldSubnet(granted, gateway)
      await journal.subnets.put(held.subnet, held)
      return held
    } finally {
      for (const undo of forget) undo()
    }
  }

  /**
   * Gives a subnet back. The journal forgets it first, so that it is never used again; the store
   * follows now if it can, else as soon as etcd is back.
   */
  async giveBack(subnet: string): Promise<void> {
    const { journal, publisher } = this.#options
    await journal.subnets.delete(subnet)
    this.#refusals.delete(subnet)
    await publisher.attempt()
  }

  /** Puts a held subnet into the overlay that its network's name says. */
  async name(subnet: string, name: string): Promise<void> {
    const { store, keys, mirror, journal, publisher, log } = this.#options
    const held = journal.subnets.get(subnet)
    if (!held || held.overlay !== null) return
    try {
      const by = await publisher.by()
      const overlay = await allocate(store, keys, (view) => {
        if (!view.config) throw new OverlayError('store_unavailable', 'etcd holds no config yet')
        return decideNaming(view, held, name, by, keys)
      })
      await mirror.refresh()
      await journal.subnets.update(subnet, (mine) => ({
        ...mine,
        overlay: overlay.name,
        vni: overlay.vni,
      }))
      this.#refusals.delete(subnet)
      log.info({ subnet, overlay: overlay.name, vni: overlay.vni }, 'subnet joined its overlay')
    } catch (error) {
      const refusal =
        error instanceof OverlayError
          ? error
          : new OverlayError('host_state', messageOf(error), { cause: error })
      if (this.#refusals.get(subnet)?.message !== refusal.message) {
        log.warn({ subnet, overlay: name, reason: refusal.message }, 'cannot join the overlay')
      }
      this.#refusals.set(subnet, refusal)
    }
  }

  /** Why the subnet is in no overlay; null while nothing stands in the way. */
  refusal(subnet: string): OverlayError | null {
    return this.#refusals.get(subnet) ?? null
  }

  /** Gives back what was leased for a network that never came. */
  async reclaim(now: number): Promise<void> {
    const { journal, log } = this.#options
    for (const held of journal.subnets.values()) {
      if (held.networkId !== null || now - held.since < UNBOUND_MS) continue
      log.warn({ subnet: held.subnet }, 'no network came for a leased subnet; it is given back')
      await this.giveBack(held.subnet)
    }
  }
}

function heldSubnet(granted: GrantedSubnet, gateway: string | null): HeldSubnet {
  const { subnet, kind, pool, overlay, vni } = granted
  const now = Date.now()
  const addresses = new AddressPool(subnet)
  const first = addresses.request({ purpose: 'gateway', now })
  return {
    subnet: formatCidr(subnet),
    kind,
    pool: pool === null ? null : formatCidr(pool),
    prefixLength: (pool ?? subnet).length,
    overlay,
    vni,
    gateway: gateway ?? formatIpv4(first),
    networkId: null,
    poolReleased: false,
    since: now,
    addresses: kind === 'docker' ? null : addresses.toRecord(),
  }
}
