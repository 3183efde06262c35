import { setTimeout as sleep } from 'node:timers/promises'
import { messageOf, OverlayError } from '../errors.ts'
import type { Log } from '../log.ts'
import { parseInterfaceAddress } from '../net/cidr.ts'
import { parseInterfaceAddress6 } from '../net/cidr6.ts'
import { derivedMac } from '../net/mac.ts'
import { allocate } from '../store/allocate.ts'
import type { ClusterView } from '../store/cluster-view.ts'
import type { Keyspace } from '../store/keyspace.ts'
import type { ClusterMirror } from '../store/mirror.ts'
import type { Store } from '../store/store.ts'
import type { Addresses } from './addresses.ts'
import type { Addresses6 } from './addresses6.ts'
import { CoalescedTask } from './coalesced-task.ts'
import { decideRebuild, judgeNetworks, type Found, type RebuildPlan } from './decide-rebuild.ts'
import { decideRemovals } from './decide-removals.ts'
import type { Endpoints } from './endpoints.ts'
import { heldWith } from './held-with.ts'
import type { HostFacts } from './host-facts.ts'
import type { HostIdentity } from './host-identity.ts'
import type { Endpoint, Journal } from './journal.ts'
import type { KnownNetwork, KnownNetworks } from './known-networks.ts'
import type { Networks } from './networks.ts'
import { settlesWithin } from './patience.ts'
import type { Publisher } from './publisher.ts'
import { rebuiltEndpoint, rebuiltNetwork, rebuiltSubnet } from './rebuilt-records.ts'
import type { Reconciler } from './reconciler.ts'
import { RemovedNetworks } from './removed-networks.ts'
import type { Subnets } from './subnets.ts'
import type { UnclaimedLinks } from './unclaimed-links.ts'

/** How long a call waits for a network that may yet be found. */
const PATIENCE_MS = 4000
const LOOK_EVERY_MS = 50
/** How long the first look at the machine is waited for. */
const FIRST_RUN_MS = 2000
/** Operations of one transaction; etcd refuses more than 128 (--max-txn-ops). */
const BATCH = 100

export interface RebuildOptions {
  readonly known: KnownNetworks
  readonly store: Store
  readonly keys: Keyspace
  readonly mirror: ClusterMirror
  readonly journal: Journal
  readonly identity: HostIdentity
  readonly facts: () => HostFacts
  readonly publisher: Publisher
  readonly reconciler: Pick<Reconciler, 'firstRun' | 'attempt'>
  readonly subnets: Pick<Subnets, 'wasGivenBack'>
  readonly addresses: Pick<Addresses, 'request'>
  readonly addresses6: Pick<Addresses6, 'request'>
  readonly networks: Pick<Networks, 'adopt' | 'delete' | 'wasRemoved'>
  readonly endpoints: Pick<Endpoints, 'adopt' | 'isInUse'>
  readonly unclaimed: Pick<UnclaimedLinks, 'isNoted' | 'bridgeMac' | 'release'>
  readonly log: Log
}

/**
 * Compares the journal with the networks that whoever asked for them still has: what the journal lost
 * is written again from there and from the leases, what was removed unheard is removed. Nothing of it
 * happens within a call of the plugin protocol.
 */
export class Rebuild {
  readonly #options: RebuildOptions
  readonly #task: CoalescedTask
  readonly #removed: RemovedNetworks
  #known: readonly KnownNetwork[] = []
  #waiting: ReadonlyMap<string, string> = new Map()
  #lost: ReadonlyMap<string, string> = new Map()
  #wasCompared = false
  #failure: string | null = null

  constructor(options: RebuildOptions) {
    this.#options = options
    this.#task = new CoalescedTask(() => this.#compare())
    this.#removed = new RemovedNetworks({
      journal: options.journal,
      isInUse: (endpoint) => options.endpoints.isInUse(endpoint),
      remove: (id) => options.networks.delete(id),
      log: options.log,
    })
  }

  /** Whether a comparison is due before whoever is asked appears anew. */
  get isBehind(): boolean {
    return !this.#isSettled || this.#removed.isDoubting
  }

  get #isSettled(): boolean {
    return this.#wasCompared && this.#failure === null && this.#waiting.size === 0
  }

  /** One comparison; what goes wrong is said once and tried again by the caller's timer. */
  async attempt(): Promise<void> {
    const { log } = this.#options
    try {
      await this.#task.run()
      this.#failure = null
    } catch (error) {
      const reason = messageOf(error)
      if (reason !== this.#failure) {
        log.debug({ reason }, 'the networks cannot be compared with the journal yet')
      }
      this.#failure = reason
    }
  }

  /** Leases of this host that may belong to a network which the journal lost. */
  doubtful(view: ClusterView): string[] {
    const { journal, identity, subnets } = this.#options
    return [...view.subnets].flatMap(([subnet, { hostId, networkId }]) => {
      if (hostId !== identity.hostId || networkId === null) return []
      if (journal.subnets.get(subnet) || subnets.wasGivenBack(subnet)) return []
      return this.isDoubtful(networkId) ? [subnet] : []
    })
  }

  /** Whether a network that the journal does not have may yet be found. */
  isDoubtful(networkId: string): boolean {
    return !this.#wasCompared || this.#waiting.has(networkId)
  }

  /** Waits a little for a network that may yet be found. @throws OverlayError not_found when it is not */
  async untilNetwork(id: string): Promise<void> {
    const { journal } = this.#options
    const isThere = (): boolean => {
      const network = journal.networks.get(id)
      return network !== undefined && journal.subnets.get(network.subnet) !== undefined
    }
    if (!(await this.#until(isThere))) throw this.#refusal(id)
  }

  /** The same by a subnet that the network lives in, of either family. @throws OverlayError not_found */
  async untilSubnet(subnet: string): Promise<void> {
    const { journal, mirror } = this.#options
    if (await this.#until(() => heldWith(journal, subnet) !== undefined)) return
    const id = mirror.view().subnets.get(subnet)?.networkId
    const network = this.#known.find(
      (known) => known.id === id || known.subnet === subnet || known.subnet6 === subnet,
    )
    if (network) throw this.#refusal(network.id)
    throw new OverlayError(
      'not_found',
      `this host does not hold the subnet ${subnet}; remove its network (docker network rm) and create it again`,
    )
  }

  async #until(isThere: () => boolean): Promise<boolean> {
    for (let waited = 0; !isThere(); waited += LOOK_EVERY_MS) {
      if (this.#isSettled || waited >= PATIENCE_MS) return false
      await sleep(LOOK_EVERY_MS)
    }
    return true
  }

  #refusal(id: string): OverlayError {
    const name = this.#known.find((network) => network.id === id)?.name ?? id.slice(0, 12)
    const waiting = this.#waiting.get(id)
    const lost = this.#lost.get(id)
    const again = `docker network rm ${name}, then docker network create as before`
    if (waiting !== undefined) {
      return new OverlayError(
        'not_found',
        `the network ${name} is looked for since this host's state directory was lost: ${waiting}; try again in half a minute`,
      )
    }
    if (lost !== undefined) {
      return new OverlayError(
        'not_found',
        `the network ${name} was lost with this host's state directory: ${lost}; make it again: ${again}`,
      )
    }
    const unasked = this.#wasCompared ? '' : ', and Docker could not be asked about it yet'
    return new OverlayError(
      'not_found',
      `this host has no record of the network ${name}, perhaps because its state directory was lost${unasked}; if that does not change, make it again: ${again}`,
    )
  }

  async #compare(): Promise<void> {
    const { known: manager, journal, networks, reconciler, publisher, unclaimed } = this.#options
    const candidates = journal.networks.values().map(({ id }) => id)
    const listed = await manager.list()
    const known = listed.filter(({ id }) => !networks.wasRemoved(id))
    this.#known = known
    const plan = await this.#plan(known)
    for (const each of plan.found) await this.#adopt(each)
    if (plan.found.length > 0) await reconciler.attempt()
    for (const network of known) await this.#adoptEndpoints(network)
    if (plan.waiting.size === 0) await this.#removeRemains(plan)
    await this.#removed.compare(candidates, known, performance.now())
    this.#tell(plan)
    this.#waiting = plan.waiting
    this.#lost = plan.lost
    this.#wasCompared = true
    if (plan.waiting.size === 0) unclaimed.release()
    await reconciler.attempt()
    await publisher.attempt()
  }

  #isJournaled(id: string): boolean {
    const { journal } = this.#options
    const network = journal.networks.get(id)
    return network !== undefined && journal.subnets.get(network.subnet) !== undefined
  }

  /** What the leases say; those of an earlier identity are this one's then. */
  async #plan(known: readonly KnownNetwork[]): Promise<RebuildPlan> {
    const { store, keys, mirror, identity, facts, publisher, reconciler, unclaimed } = this.#options
    const isJournaled = (id: string): boolean => this.#isJournaled(id)
    const { hostId } = identity
    const { state, since } = mirror.status()
    const me = { hostId, publicIp: facts().publicIp, isJournaled }
    const seen = judgeNetworks(mirror.view(), known, me)
    const found = seen.found.map((each: Found) => each.known.id)
    const unsure = [...found, ...seen.lost.keys(), ...seen.waiting.keys()]
    if (unsure.length === 0) return seen
    const wait = (reason: string): RebuildPlan => ({
      ...seen,
      found: [],
      lost: new Map(),
      waiting: new Map(unsure.map((id) => [id, reason])),
    })
    if (state !== 'up') return wait(`etcd is not reached, since ${since.toISOString()}`)
    if (!unclaimed.isNoted) await settlesWithin(reconciler.firstRun, FIRST_RUN_MS)
    if (!unclaimed.isNoted) return wait('the network of this host was not looked at yet')
    const plan = await publisher.writing((by) =>
      allocate(store, keys, (view) => decideRebuild(view, known, { ...by, isJournaled }, keys)),
    )
    await mirror.refresh()
    return plan
  }

  async #adopt({ known: network, lease }: Found): Promise<void> {
    const { networks, identity, unclaimed, log } = this.#options
    const { hostId } = lease
    // What containers hold for everything outside their bridge must not change under them.
    const formerMac =
      hostId === null || hostId === identity.hostId
        ? null
        : derivedMac('bridge', hostId, network.id)
    const isKnown = this.#isJournaled(network.id)
    const held = rebuiltSubnet(lease, network, Date.now())
    const bridgeMac = unclaimed.bridgeMac(network.id) ?? formerMac
    await networks.adopt(rebuiltNetwork(network, held.subnet, bridgeMac), held)
    if (isKnown) return
    log.warn(
      { network: network.id, name: network.name, subnet: held.subnet },
      'a network that the state directory had lost was found again',
    )
  }

  async #adoptEndpoints(network: KnownNetwork): Promise<void> {
    const { known: manager, journal, endpoints } = this.#options
    if (!this.#isJournaled(network.id)) return
    for (const known of network.endpoints) {
      if (journal.endpoints.get(known.id)) continue
      const sandbox = await manager.sandboxOf(known.containerId)
      if (sandbox === null) continue
      const held = journal.subnets.get(journal.networks.get(network.id)!.subnet)
      const endpoint = held && rebuiltEndpoint(known, network, held, sandbox, Date.now())
      if (endpoint && (await endpoints.adopt(endpoint))) await this.#take(endpoint, held.subnet)
    }
  }

  /** They may well be taken: by this very endpoint, if the subnet's own record was not lost. */
  async #take({ address, address6 }: Endpoint, subnet: string): Promise<void> {
    const { journal, addresses, addresses6 } = this.#options
    const held = journal.subnets.get(subnet)
    if (held?.addresses) {
      const { ip } = parseInterfaceAddress(address)
      await addresses.request(subnet, 'endpoint', ip).catch(() => undefined)
    }
    if (address6 === null || !held?.ipv6?.addresses) return
    const { ip } = parseInterfaceAddress6(address6)
    await addresses6.request(subnet, 'endpoint', ip).catch(() => undefined)
  }

  /** What earlier identities of this host still have in the store belongs to networks that are gone. */
  async #removeRemains({ former }: RebuildPlan): Promise<void> {
    const { store, keys, journal, mirror } = this.#options
    for (const hostId of former) {
      const remains = (): Parameters<typeof decideRemovals>[1] => {
        return { hostId, held: journal.subnets.values(), spared: new Set() }
      }
      while (
        await allocate(store, keys, (view) => ({
          ...decideRemovals(view, remains(), keys, BATCH),
          compares: [{ key: keys.host(hostId), is: 'absent' }],
        }))
      ) {
        // What is left is the next transaction's.
      }
    }
    if (former.size > 0) await mirror.refresh()
  }

  #tell({ waiting, lost }: RebuildPlan): void {
    const { log } = this.#options
    const nameOf = (id: string): string =>
      this.#known.find((network) => network.id === id)?.name ?? ''
    for (const [network, reason] of waiting) {
      if (this.#waiting.get(network) === reason) continue
      log.warn(
        { network, name: nameOf(network), reason },
        'a network that the state directory has lost is looked for',
      )
    }
    for (const [network, reason] of lost) {
      if (this.#lost.get(network) === reason) continue
      log.error(
        { network, name: nameOf(network), reason },
        'a network is lost with the state directory; remove it and create it again',
      )
    }
  }
}
