import type { OverlayError } from '../errors.ts'
import { AddressPool } from '../ipam/address-pool.ts'
import { routeClash } from '../ipam/route-clash.ts'
import type { Log } from '../log.ts'
import { onLinkRoutes } from '../linux/on-link-routes.ts'
import { formatCidr } from '../net/cidr.ts'
import { formatIpv4 } from '../net/ipv4.ts'
import type { Vni } from '../net/vni.ts'
import { allocate } from '../store/allocate.ts'
import type { ClusterView } from '../store/cluster-view.ts'
import { addressInside } from '../store/hazards.ts'
import type { Keyspace } from '../store/keyspace.ts'
import type { ClusterMirror } from '../store/mirror.ts'
import type { Store } from '../store/store.ts'
import { awaitingHalf } from './awaiting-half.ts'
import { decideSubnet, type Claimant, type GrantedSubnet } from './decide-subnet.ts'
import { heldWith } from './held-with.ts'
import type { HostFacts } from './host-facts.ts'
import { Ipv6Halves } from './ipv6-halves.ts'
import type { HeldSubnet, Journal } from './journal.ts'
import { KeyedMutex } from './keyed-mutex.ts'
import { settlesWithin, STORE_PATIENCE_MS, withPatience } from './patience.ts'
import type { Publisher } from './publisher.ts'
import { SubnetNames } from './subnet-names.ts'
import type { Publisher as By } from './subnet-value.ts'
import type { SubnetWish } from './subnet-wish.ts'
import type { Subnet6Wish } from './subnet6-wish.ts'

/** How long a leased subnet waits for its network before it is given back. */
export const UNBOUND_MS = 60_000

export interface SubnetsOptions {
  /** A lease needs the cluster's configuration, which the very first one may have to write. */
  readonly ensureConfig: () => Promise<void>
  readonly store: Store
  readonly keys: Keyspace
  readonly mirror: ClusterMirror
  readonly journal: Journal
  readonly publisher: Publisher
  readonly poolLength: number
  readonly facts: () => HostFacts
  /** Adds to a view what the store has only just forgotten (WipeGuard). */
  readonly complete: (view: ClusterView) => ClusterView
  readonly log: Log
}

/** The subnets that this host holds: leased, named, given back. */
export class Subnets {
  readonly #options: SubnetsOptions
  readonly #names: SubnetNames
  /** Subnets that this process gave back; what else the store shows as this host's may be wanted yet. */
  readonly #givenBack = new Set<string>()
  readonly #halves: Ipv6Halves
  readonly #turns = new KeyedMutex()
  /** Subnets that whoever asked for their IPv6 half was never told of, and so cannot give back itself. */
  readonly #untold = new Set<string>()

  constructor(options: SubnetsOptions) {
    this.#options = options
    this.#names = new SubnetNames(options)
    this.#halves = new Ipv6Halves(options)
  }

  /**
   * Leases a subnet in the store and journals it; both or neither.
   * @param gateway for Docker's own IPAM: the address that Docker chose; null takes the first one
   * @param wish6 of the IPv6 half; null for a subnet without
   * @throws OverlayError conflict, exhausted, bad_input, store_unavailable
   */
  async lease(
    wish: SubnetWish,
    gateway: string | null,
    wish6: Subnet6Wish | null = null,
  ): Promise<HeldSubnet> {
    const work = this.#leaseBoth(wish, gateway, wish6)
    try {
      return await withPatience(work)
    } catch (error) {
      // What is granted after the caller has given up is nobody's; failing that, reclaim() takes it.
      void work.then((held) => this.giveBackUnused(held.subnet)).catch(() => undefined)
      throw error
    }
  }

  /**
   * Leases the IPv6 half of the subnet that was leased a moment ago for the same network; where there is
   * none, as for a network of IPv6 alone, an IPv4 subnet too, by which the network is known here.
   * @param wish of that IPv4 subnet
   * @throws OverlayError like lease()
   */
  lease6(wish: SubnetWish, wish6: Subnet6Wish): Promise<HeldSubnet> {
    return this.#turns.run('ipv6', async () => {
      const overlay = wish.kind === 'shared-pool' ? null : wish.overlay
      const all = this.#options.journal.subnets.values()
      const waiting = awaitingHalf(all, overlay, Date.now() - UNBOUND_MS)
      if (waiting) return withPatience(this.#halves.give(waiting.subnet, wish6))
      const held = await this.lease(wish, null, wish6)
      this.#untold.add(held.subnet)
      return held
    })
  }

  /** Gives an IPv6 half back while no network lives in its subnet. @param subnet "10.33.5.0/24", or of the half */
  async giveBackHalf(subnet: string): Promise<void> {
    const held = heldWith(this.#options.journal, subnet)
    if (!held) return
    if (this.#untold.has(held.subnet)) await this.giveBackUnused(held.subnet)
    else await this.#halves.take(held.subnet)
  }

  async #leaseBoth(
    wish: SubnetWish,
    gateway: string | null,
    wish6: Subnet6Wish | null,
  ): Promise<HeldSubnet> {
    const held = await this.#lease(wish, gateway)
    if (wish6 === null) return held
    try {
      return await this.#halves.give(held.subnet, wish6)
    } catch (error) {
      await this.giveBackUnused(held.subnet)
      throw error
    }
  }

  async #lease(wish: SubnetWish, gateway: string | null): Promise<HeldSubnet> {
    const { store, keys, mirror, journal, publisher, complete } = this.#options
    await this.#options.ensureConfig()
    const onThisHost = await this.#unusable()
    const forget: (() => void)[] = []
    try {
      const granted = await publisher.writing((by) =>
        allocate(store, keys, (view) => {
          const decision = decideSubnet(complete(view), wish, { ...by, ...onThisHost }, keys)
          // From the moment it can be in the store it must not be taken for a leftover.
          forget.push(publisher.spare(formatCidr(decision.result.subnet)))
          return decision
        }),
      )
      // The watch brings it too.
      await mirror.refresh().catch(() => undefined)
      const held = heldSubnet(granted, gateway)
      await journal.subnets.put(held.subnet, held)
      return held
    } finally {
      for (const undo of forget) undo()
    }
  }

  /** What cannot be chosen because of this host's own network. */
  async #unusable(): Promise<Omit<Claimant, keyof By>> {
    const { poolLength, facts } = this.#options
    const { nameservers, hazards } = facts()
    const routes = (await onLinkRoutes()).map(({ prefix, dev }) => ({
      to: prefix,
      dev: dev ?? 'nowhere',
    }))
    return {
      poolLength,
      clash: (candidate) => routeClash(candidate, { routes, nameservers }),
      hazard: (candidate) => addressInside(candidate, hazards),
      random: Math.random,
    }
  }

  /**
   * Gives a subnet back. The journal forgets it first, so that it is never used again; the store
   * follows now if it can, else as soon as etcd is back.
   */
  giveBack(subnet: string): Promise<boolean> {
    return this.#giveBack(subnet, () => true)
  }

  /** The same unless a network lives in the subnet by now. @returns whether it was given back */
  giveBackUnused(subnet: string): Promise<boolean> {
    const { networks } = this.#options.journal
    return this.#giveBack(subnet, () => !networks.values().some((each) => each.subnet === subnet))
  }

  async #giveBack(subnet: string, only: () => boolean): Promise<boolean> {
    const { journal, publisher } = this.#options
    if (!(await journal.subnets.delete(subnet, only))) return false
    this.#names.forget(subnet)
    this.#untold.delete(subnet)
    this.#givenBack.add(subnet)
    await settlesWithin(publisher.attempt(), STORE_PATIENCE_MS)
    return true
  }

  /** Whether this process has given the subnet back. */
  wasGivenBack(subnet: string): boolean {
    return this.#givenBack.has(subnet)
  }

  /**
   * Puts a held subnet into the overlay that its network's name says.
   * @param vni the one that the overlay must have; null takes any
   */
  name(subnet: string, name: string, vni: Vni | null = null): Promise<void> {
    return this.#names.name(subnet, name, vni)
  }

  /** Why the subnet is in no overlay; null while nothing stands in the way. */
  refusal(subnet: string): OverlayError | null {
    return this.#names.refusal(subnet)
  }

  /**
   * Gives back what was leased for a network that never came, or that went and left it behind.
   * @param isDoubtful whether the network's own record may just be lost
   */
  async reclaim(now: number, isDoubtful: (networkId: string) => boolean): Promise<void> {
    const { journal, log } = this.#options
    for (const { subnet, since, networkId } of journal.subnets.values()) {
      if (now - since < UNBOUND_MS || (networkId !== null && isDoubtful(networkId))) continue
      if (!(await this.giveBackUnused(subnet))) continue
      log.warn({ subnet }, 'no network came for a leased subnet; it is given back')
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
    since: now,
    addresses: kind === 'docker' ? null : addresses.toRecord(),
    ipv6: null,
  }
}
