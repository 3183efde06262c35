import { OverlayError, messageOf } from '../errors.ts'
import type { Log } from '../log.ts'
import { parseCidr } from '../net/cidr.ts'
import { formatIp } from '../net/ipv6.ts'
import { allocate } from '../store/allocate.ts'
import type { ClusterView } from '../store/cluster-view.ts'
import type { Keyspace } from '../store/keyspace.ts'
import type { ClusterMirror } from '../store/mirror.ts'
import { encodeHolder, encodeSubnet } from '../store/records.ts'
import type { Store } from '../store/store.ts'
import { TTL } from '../store/ttl.ts'
import { CoalescedTask } from './coalesced-task.ts'
import { decideOwnSubnets, OPERATIONS_PER_SUBNET } from './decide-own-subnets.ts'
import { decideRemovals, type Remainder } from './decide-removals.ts'
import { foreignHolder } from './foreign-holder.ts'
import type { HostFacts } from './host-facts.ts'
import type { HostIdentity } from './host-identity.ts'
import type { HeldSubnet, Journal } from './journal.ts'
import { leaseKey } from './lease-writes.ts'
import { membersOf } from './members.ts'
import { namedAsStored } from './named-as-stored.ts'
import { lacksPool6 } from './overlays.ts'
import { ownEndpointKeys, recordChanges, wantedRecords } from './simple-records.ts'
import { StoreLease } from './store-lease.ts'
import { halfOf, subnetValue, type Publisher as By } from './subnet-value.ts'

/** Writes of one transaction; etcd refuses more than 128 operations in one (--max-txn-ops). */
const BATCH = 100
const SUBNETS_AT_ONCE = Math.floor(BATCH / (OPERATIONS_PER_SUBNET + 1))

export interface PublisherOptions {
  readonly store: Store
  readonly keys: Keyspace
  readonly mirror: ClusterMirror
  readonly journal: Journal
  readonly identity: HostIdentity
  readonly hostname: string
  readonly version: string
  readonly facts: () => HostFacts
  readonly log: Log
  /** Leases of this host that the journal does not have, and that must not be taken for leftovers yet. */
  readonly doubtful?: (view: ClusterView) => readonly string[]
  /** The store shows that another machine runs with this machine's identity. */
  readonly onCloned: (error: OverlayError) => void
}

/**
 * Keeps what the store says of this host equal to the journal: level-triggered, so an outage, an
 * expired lease or a wiped store all heal by the next run, and a removal that could not be written
 * is simply still to do.
 */
export class Publisher {
  readonly #options: PublisherOptions
  readonly #hostLease: StoreLease
  readonly #recordLease: StoreLease
  readonly #task: CoalescedTask
  /** Subnets of which the store was granted more than the journal has yet: it is still being written. */
  readonly #spared = new Map<string, number>()
  /** Subnets that another host has by now. */
  #lost: ReadonlySet<string> = new Set()
  #confirmed = false
  /** Revision of the record that an earlier process seems to have left under another address. */
  #predecessor: string | null = null
  #stopped = false
  #failure: string | null = null

  constructor(options: PublisherOptions) {
    this.#options = options
    this.#hostLease = new StoreLease(options.store, TTL.host)
    this.#recordLease = new StoreLease(options.store, TTL.subnet)
    this.#task = new CoalescedTask(() => this.#publish())
  }

  /** Settles when the store says what the journal said at the call, or rejects with why not. */
  run(): Promise<void> {
    return this.#task.run()
  }

  /** The same in the background; a failure is logged once and tried again by the caller's timer. */
  async attempt(): Promise<void> {
    try {
      await this.run()
      if (this.#failure !== null) this.#options.log.info('this host is published again')
      this.#failure = null
    } catch (error) {
      const reason = messageOf(error)
      if (reason !== this.#failure) this.#options.log.warn({ reason }, 'cannot publish this host')
      this.#failure = reason
    }
  }

  /** Whether a lease wants renewing, or the last attempt failed. */
  get isBehind(): boolean {
    return this.#failure !== null || this.#hostLease.isDue || this.#recordLease.isDue
  }

  /**
   * Does work that writes leases of this host. If the store no longer knows the etcd lease that they
   * were to hang on (it was emptied, or this machine slept for long), once more under a new one.
   * @throws OverlayError store_unavailable, and what the work throws
   */
  async writing<T>(work: (by: By) => Promise<T>): Promise<T> {
    try {
      return await work(await this.#by())
    } catch (error) {
      if (!(error instanceof OverlayError) || error.code !== 'not_found') throw error
      this.#hostLease.forget()
      this.#recordLease.forget()
      return work(await this.#by())
    }
  }

  /** Keeps a fresh grant from being taken for a leftover. @returns a function to call once it is journaled */
  spare(subnet: string): () => void {
    const count = (by: number): void => {
      const left = (this.#spared.get(subnet) ?? 0) + by
      if (left > 0) this.#spared.set(subnet, left)
      else this.#spared.delete(subnet)
    }
    count(1)
    return () => count(-1)
  }

  /** The host's liveness ends now rather than when its key expires; nothing is published any more. */
  async stop(): Promise<void> {
    this.#stopped = true
    // A run under way may be about to write under a new lease.
    await this.attempt()
    await this.#hostLease.revoke()
  }

  /** What a lease written now says of this host. */
  async #by(): Promise<By> {
    const { identity, facts } = this.#options
    const { publicIp, overlayMtu } = facts()
    return {
      hostId: identity.hostId,
      vtepMac: identity.vtepMac,
      publicIp,
      mtu: overlayMtu,
      storeLease: await this.#recordLease.current(),
    }
  }

  async #publish(): Promise<void> {
    if (this.#stopped) return
    const { state, since } = this.#options.mirror.status()
    if (state !== 'up') {
      const sentence = `etcd is not reached, since ${since.toISOString()}; see that it runs and that ETCD_ENDPOINTS is right`
      throw new OverlayError('store_unavailable', sentence)
    }
    this.#refuseClone()
    this.#tellLost()
    await this.writing((by) => this.#publishSubnets(by))
    await this.#removeLeftovers()
    await this.writing(() => this.#publishRecords())
  }

  #refuseClone(): void {
    const { identity, mirror, onCloned } = this.#options
    const live = mirror.view().hosts.get(identity.hostId)
    if (!live || live.instance === identity.instance) return
    if (!this.#confirmed && identity.earlier.has(live.instance)) {
      if (live.publicIp === this.#options.facts().publicIp) return
      // An earlier process of this machine, which has moved since, or the twin that this state
      // directory was copied from: the record of the former runs out, the twin renews its own.
      this.#predecessor ??= live.modRevision
      if (this.#predecessor === live.modRevision) {
        throw new OverlayError(
          'conflict',
          `etcd lists this host at ${formatIp(live.publicIp)}; that it was there before, and is no other machine with a copy of this STATE_DIR, shows within ${TTL.host} s; try again then`,
        )
      }
    }
    const error = new OverlayError(
      'cloned_host',
      `this machine was cloned from ${live.hostname}, which runs with the same identity: remove STATE_DIR/host-id on one of them`,
    )
    onCloned(error)
    throw error
  }

  /** Another host's lease on a subnet of ours is said loudly, once, and never fought over. */
  #tellLost(): void {
    const { journal, mirror, identity, log } = this.#options
    const lost = new Set<string>()
    for (const mine of journal.subnets.values()) {
      const { subnet } = mine
      // Leases of a view are disjoint, so who is in it with a subnet has it alone.
      if (mirror.view().subnets.get(subnet)?.hostId === identity.hostId) continue
      const holder = foreignHolder(mirror.view(), mine, identity.hostId)
      if (holder !== null) lost.add(subnet)
      if (holder === null || this.#lost.has(subnet)) continue
      log.error(
        { subnet, host: holder },
        'this host lost the lease of a subnet to another host: its containers are cut off from other hosts; remove and create the network again',
      )
    }
    this.#lost = lost
  }

  async #publishSubnets(by: By): Promise<void> {
    const { store, keys, mirror, journal } = this.#options
    const wrong = journal.subnets.values().filter((mine) => !this.#isPublished(mine, by))
    for (let at = 0; at < wrong.length; at += SUBNETS_AT_ONCE) {
      const part = wrong.slice(at, at + SUBNETS_AT_ONCE).map(({ subnet }) => subnet)
      const renumbered = await allocate(store, keys, (view) => {
        // Asked again each time: one may be given back, or named, meanwhile.
        const held = part.flatMap((subnet) =>
          this.#spared.has(subnet) ? [] : (journal.subnets.get(subnet) ?? []),
        )
        return decideOwnSubnets(view, held, by, keys)
      })
      for (const { subnet, vni } of renumbered) {
        await journal.subnets.update(subnet, (mine) => ({ ...mine, vni }))
      }
    }
    if (wrong.length > 0) await mirror.refresh()
  }

  /** Whether the lease, its holder and its overlay are in the store as the journal has them, or not ours to write. */
  #isPublished(journaled: HeldSubnet, by: By): boolean {
    if (this.#lost.has(journaled.subnet) || this.#spared.has(journaled.subnet)) return true
    const { keys, mirror } = this.#options
    const mine = namedAsStored(mirror.view(), journaled, by.hostId)
    const entries = mirror.entries()
    const view = mirror.view()
    const key = leaseKey(keys, mine)
    const lease = entries.get(key)
    const stands = view.subnets.get(mine.subnet)
    const overlay = mine.overlay === null ? null : view.overlays.get(mine.overlay)
    return (
      lease?.value === encodeSubnet(subnetValue(mine, by)) &&
      lease.lease === by.storeLease &&
      (stands?.hostId !== by.hostId || stands.key === key) &&
      entries.get(keys.holder(parseCidr(mine.subnet)))?.value === encodeHolder(by.hostId) &&
      (overlay === null ||
        (overlay?.vni === mine.vni && !lacksPool6(view, overlay, halfOf(mine)?.pool ?? null)))
    )
  }

  async #removeLeftovers(): Promise<void> {
    const { store, keys, mirror, journal, identity, doubtful = () => [] } = this.#options
    const mine = (view: ClusterView): Remainder => ({
      hostId: identity.hostId,
      held: journal.subnets.values(),
      spared: new Set([...this.#spared.keys(), ...doubtful(view)]),
    })
    const now = mirror.view()
    if (decideRemovals(now, mine(now), keys, 1).operations.length === 0) return
    while (await allocate(store, keys, (view) => decideRemovals(view, mine(view), keys, BATCH))) {
      // What is left is the next transaction's.
    }
    await mirror.refresh()
  }

  async #publishRecords(): Promise<void> {
    const { store, keys, mirror, journal, identity, facts, hostname, version } = this.#options
    const members = membersOf(journal).filter(({ held }) => !this.#lost.has(held.subnet))
    const wanted = wantedRecords({
      keys,
      identity,
      facts: facts(),
      members,
      hostname,
      version,
      hostLease: await this.#hostLease.current(),
      recordLease: await this.#recordLease.current(),
    })
    const isMine = ownEndpointKeys(members, keys)
    const changes = recordChanges(mirror.entries(), wanted, isMine)
    for (let at = 0; at < changes.length; at += BATCH) {
      const batch = changes.slice(at, at + BATCH)
      const { succeeded, revision } = await store.commit(
        batch.map(({ compare }) => compare),
        batch.map(({ operation }) => operation),
      )
      if (!succeeded) {
        // Somebody else touched a record of ours: the mirror is behind, or a clone is at work.
        await mirror.refresh()
        this.#refuseClone()
        throw new OverlayError(
          'conflict',
          "this host's records changed while they were written; try again",
        )
      }
      await mirror.reach(revision)
    }
    if (!this.#confirmed) await identity.confirm()
    this.#confirmed = true
  }
}
