import { OverlayError, messageOf } from '../errors.ts'
import type { Log } from '../log.ts'
import { formatCidr, parseCidr } from '../net/cidr.ts'
import { allocate } from '../store/allocate.ts'
import type { Keyspace } from '../store/keyspace.ts'
import type { ClusterMirror } from '../store/mirror.ts'
import { encodeHolder, encodeSubnet } from '../store/records.ts'
import type { Store } from '../store/store.ts'
import { TTL } from '../store/ttl.ts'
import { CoalescedTask } from './coalesced-task.ts'
import { decideOwnSubnets } from './decide-own-subnets.ts'
import type { HostFacts } from './host-facts.ts'
import type { HostIdentity } from './host-identity.ts'
import type { HeldSubnet, Journal } from './journal.ts'
import { membersOf } from './members.ts'
import { recordChanges, wantedRecords } from './simple-records.ts'
import { StoreLease } from './store-lease.ts'
import { subnetValue, type Publisher as By } from './subnet-value.ts'

/** Writes of one transaction; etcd refuses more than 128 operations in one. */
const BATCH = 50

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
  /** Subnets granted in the store whose journal record is still being written. */
  readonly #spared = new Set<string>()
  readonly #lost = new Set<string>()
  #confirmed = false
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

  /** What a lease written now says of this host. @throws OverlayError store_unavailable */
  async by(): Promise<By> {
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

  /** Keeps a fresh grant from being taken for a leftover. @returns a function to call once it is journaled */
  spare(subnet: string): () => void {
    this.#spared.add(subnet)
    return () => this.#spared.delete(subnet)
  }

  /** The host's liveness ends now rather than when its key expires. */
  async stop(): Promise<void> {
    await this.#hostLease.revoke()
  }

  async #publish(): Promise<void> {
    const { mirror } = this.#options
    if (mirror.status().state !== 'up') {
      throw new OverlayError('store_unavailable', 'etcd is not reached')
    }
    this.#refuseClone()
    await this.#publishSubnets()
    await this.#publishRecords()
  }

  #refuseClone(): void {
    const { identity, mirror, onCloned } = this.#options
    const live = mirror.view().hosts.get(identity.hostId)
    if (!live || live.instance === identity.instance) return
    if (!this.#confirmed && identity.earlier.has(live.instance)) return
    const error = new OverlayError(
      'cloned_host',
      `this machine was cloned from ${live.hostname}, which runs with the same identity: remove STATE_DIR/host-id on one of them`,
    )
    onCloned(error)
    throw error
  }

  async #publishSubnets(): Promise<void> {
    const { store, keys, mirror, journal, log } = this.#options
    const by = await this.by()
    const held = journal.subnets.values()
    if (!this.#subnetsDiffer(held, by)) return
    const result = await allocate(store, keys, (view) =>
      decideOwnSubnets(view, journal.subnets.values(), this.#spared, by, keys),
    )
    await mirror.refresh()
    for (const { subnet, vni } of result.renumbered) {
      await journal.subnets.update(subnet, (mine) => ({ ...mine, vni }))
    }
    for (const { subnet, holder } of result.lost) {
      if (this.#lost.has(subnet)) continue
      this.#lost.add(subnet)
      log.error(
        { subnet, host: holder },
        'this host lost the lease of a subnet to another host: its containers are cut off from other hosts; remove and create the network again',
      )
    }
  }

  /** Whether a lease of ours is missing, outdated, due for renewal, or no longer ours to keep. */
  #subnetsDiffer(held: readonly HeldSubnet[], by: By): boolean {
    const { keys, mirror } = this.#options
    const entries = mirror.entries()
    const wrong = held.some((mine) => {
      if (this.#lost.has(mine.subnet)) return false
      const subnet = parseCidr(mine.subnet)
      const lease = entries.get(keys.subnet(subnet))
      return (
        lease?.value !== encodeSubnet(subnetValue(mine, by)) ||
        lease.lease !== by.storeLease ||
        entries.get(keys.holder(subnet))?.value !== encodeHolder(by.hostId)
      )
    })
    if (wrong) return true
    const kept = new Set([...held.map((mine) => mine.subnet), ...this.#spared])
    const view = mirror.view()
    return (
      view.subnets
        .values()
        .some((lease) => lease.hostId === by.hostId && !kept.has(formatCidr(lease.subnet))) ||
      view.holders.entries().some(([subnet, holder]) => holder === by.hostId && !kept.has(subnet))
    )
  }

  async #publishRecords(): Promise<void> {
    const { store, keys, mirror, journal, identity, facts, hostname, version } = this.#options
    const members = membersOf(journal)
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
    const own = new Set(members.map(({ held }) => held.subnet))
    const changes = recordChanges(mirror.entries(), wanted, (key) => {
      const parsed = keys.parse(key)
      return parsed?.kind === 'endpoint' && own.has(formatCidr(parsed.subnet))
    })
    for (let at = 0; at < changes.length; at += BATCH) {
      const batch = changes.slice(at, at + BATCH)
      const { succeeded } = await store.commit(
        batch.map(({ compare }) => compare),
        batch.map(({ operation }) => operation),
      )
      if (!succeeded) {
        // Somebody else touched a record of ours: the mirror is behind, or a clone is at work.
        await mirror.refresh()
        this.#refuseClone()
        throw new OverlayError('conflict', "this host's records changed while they were written")
      }
    }
    if (changes.length > 0) await mirror.refresh()
    if (!this.#confirmed) await identity.confirm()
    this.#confirmed = true
  }
}
