import { hostname } from 'node:os'
import { join } from 'node:path'
import type { Datapath } from '../datapath/datapath.ts'
import { messageOf, OverlayError } from '../errors.ts'
import type { HostWatch } from '../linux/follow-lines.ts'
import type { HostPaths } from '../linux/host-paths.ts'
import { watchHost } from '../linux/monitor.ts'
import { watchRules } from '../linux/rule-watch.ts'
import type { Log } from '../log.ts'
import type { Cidr } from '../net/cidr.ts'
import type { Ip } from '../net/ip.ts'
import type { ClusterView, StoreProblem } from '../store/cluster-view.ts'
import { withoutHazards } from '../store/hazards.ts'
import type { Keyspace } from '../store/keyspace.ts'
import { ClusterMirror } from '../store/mirror.ts'
import { ProblemLog } from '../store/problem-log.ts'
import type { Store } from '../store/store.ts'
import { Addresses } from './addresses.ts'
import { Addresses6 } from './addresses6.ts'
import { CoalescedTask } from './coalesced-task.ts'
import { ConfigKeeper } from './config-keeper.ts'
import { Endpoints } from './endpoints.ts'
import { Firewall } from './firewall.ts'
import { allHazards, observeHostFacts, type HostFacts } from './host-facts.ts'
import { readHostIdentity, type HostIdentity } from './host-identity.ts'
import { openJournal, type Journal } from './journal.ts'
import type { KnownNetworks } from './known-networks.ts'
import { Networks } from './networks.ts'
import { withoutOtherFamily } from './other-family.ts'
import { settlesWithin, STORE_PATIENCE_MS } from './patience.ts'
import { PublishedPorts } from './published-ports.ts'
import { Publisher } from './publisher.ts'
import { Rebuild } from './rebuild.ts'
import { Reconciler } from './reconciler.ts'
import { Subnets } from './subnets.ts'
import { UnclaimedLinks } from './unclaimed-links.ts'
import { WipeGuard } from './wipe-guard.ts'

export interface ControllerSettings {
  readonly stateDir: string
  readonly network: Cidr
  readonly subnetLength: number
  readonly poolLength: number
  readonly vxlanPort: number
  readonly iface: string | null
  readonly hostIp: Ip | null
  readonly etcdAddresses: readonly Ip[]
  readonly version: string
  readonly paths: HostPaths
}

export interface ControllerOptions {
  readonly settings: ControllerSettings
  readonly store: Store
  readonly keys: Keyspace
  /** Whoever asked for this host's networks, asked what the journal may have lost. */
  readonly known: KnownNetworks
  /** Attaches a forwarder to the host's TUN. */
  readonly startDatapath: (options: { bindIp: Ip; port: number }) => Promise<Datapath>
  /** The process must not go on. */
  readonly onFatal: (error: OverlayError) => void
  readonly log: Log
}

const TICK_MS = 1000
/** Everything is looked at this often, whoever says that nothing has changed. */
const FULL_LOOK_MS = 30_000
const RECLAIM_EVERY_MS = 10_000
/** What stood in the way of a network's overlay is looked at again this often. */
const NAME_EVERY_MS = 3000
const COMPARE_EVERY_MS = 3000

/**
 * The overlay network of one host: holds the journal, follows the store, and keeps the machine and
 * what the store says of it true. Drivers use its parts; it has never heard of Docker's protocol.
 */
export class Controller {
  readonly journal: Journal
  readonly identity: HostIdentity
  readonly mirror: ClusterMirror
  readonly publisher: Publisher
  readonly reconciler: Reconciler
  readonly subnets: Subnets
  readonly addresses: Addresses
  readonly addresses6: Addresses6
  readonly networks: Networks
  readonly endpoints: Endpoints
  readonly ports: PublishedPorts
  readonly rebuild: Rebuild
  readonly firewall: Firewall
  readonly #unclaimed: UnclaimedLinks
  readonly #options: ControllerOptions
  readonly #look: CoalescedTask
  readonly #naming: CoalescedTask
  readonly #config: ConfigKeeper
  readonly #guard: WipeGuard
  readonly #hazardLog: ProblemLog
  #facts: HostFacts | OverlayError = new OverlayError(
    'host_state',
    'overlay-ts is still starting; try again in a few seconds',
  )
  #view: {
    readonly raw: ClusterView
    readonly facts: HostFacts
    readonly held: string
    readonly safe: ClusterView
  } | null = null
  #stopping: (() => void)[] = []
  #ticking = false
  #nextFullLook = 0
  #nextReclaim = 0
  #nextNaming = 0
  #nextCompare = 0
  #complaint: string | null = null

  private constructor(options: ControllerOptions, journal: Journal, identity: HostIdentity) {
    const { settings, store, keys, log } = options
    this.#options = options
    this.journal = journal
    this.identity = identity
    this.#look = new CoalescedTask(() => this.#lookAround())
    this.#naming = new CoalescedTask(() => this.networks.nameAll())
    this.#hazardLog = new ProblemLog(log)
    this.#guard = new WipeGuard(identity.hostId, () =>
      log.warn(
        'etcd has lost what it held; until every host has written its part, the last map stands',
      ),
    )
    this.firewall = new Firewall(() => journal.networks.values().length > 0, log)
    const facts = (): HostFacts => this.facts()
    const view = (): ClusterView => this.view()
    this.mirror = new ClusterMirror({
      store,
      keyspace: keys,
      log,
      snapshotFile: join(settings.stateDir, 'cluster-snapshot.json'),
    })
    this.#config = new ConfigKeeper({ store, keys, mirror: this.mirror, settings, log })
    const { paths } = settings
    const shared = { store, keys, mirror: this.mirror, journal, identity, facts, view, paths, log }
    this.publisher = new Publisher({
      ...shared,
      hostname: hostname(),
      version: settings.version,
      doubtful: (raw) => this.rebuild.doubtful(raw),
      onCloned: options.onFatal,
    })
    this.#unclaimed = new UnclaimedLinks(journal)
    this.reconciler = new Reconciler({
      ...shared,
      unclaimed: this.#unclaimed,
      hasMap: () => this.mirror.status().mapFrom !== 'nothing',
      port: () => this.port,
      startDatapath: options.startDatapath,
    })
    this.subnets = new Subnets({
      ...shared,
      publisher: this.publisher,
      poolLength: settings.poolLength,
      ensureConfig: () => this.#config.ensure(),
      complete: (raw) => this.#guard.complete(raw, performance.now()),
    })
    this.addresses = new Addresses(journal, () => this.mirror.view())
    this.addresses6 = new Addresses6(journal, () => this.mirror.view())
    this.networks = new Networks({
      ...shared,
      subnets: this.subnets,
      reconciler: this.reconciler,
      onCreated: () => void this.publisher.attempt(),
    })
    this.endpoints = new Endpoints({
      ...shared,
      hostId: identity.hostId,
      addresses: this.addresses,
      addresses6: this.addresses6,
      refusal: (subnet) => this.subnets.refusal(subnet),
      untilFound: (networkId) => this.rebuild.untilNetwork(networkId),
      onChange: () => {
        void this.publisher.attempt()
        void this.reconciler.attempt()
        void this.ports.follow()
      },
    })
    this.ports = new PublishedPorts({
      ...shared,
      endpoints: this.endpoints,
      reconciler: this.reconciler,
    })
    const { known } = options
    const { publisher, reconciler, subnets, addresses, addresses6, networks, endpoints } = this
    const parts = { publisher, reconciler, subnets, addresses, addresses6, networks, endpoints }
    this.rebuild = new Rebuild({ ...shared, ...parts, known, unclaimed: this.#unclaimed })
  }

  /** Reads the state directory; touches neither the network stack nor the store. */
  static async open(options: ControllerOptions): Promise<Controller> {
    const { settings, log } = options
    const identity = await readHostIdentity(settings.stateDir, log)
    const journal = await openJournal(settings.stateDir, log)
    return new Controller(options, journal, identity)
  }

  /** What is known of this machine. @throws OverlayError host_state when it could not be observed */
  facts(): HostFacts {
    if (this.#facts instanceof OverlayError) throw this.#facts
    return this.#facts
  }

  /** The map, less what would cut this host off from its own network. */
  view(): ClusterView {
    const raw = this.#guard.follow(this.mirror.view(), performance.now())
    const facts = this.facts()
    const subnets = this.journal.subnets.values()
    const held = subnets.map(({ subnet, ipv6 }) => `${subnet}&${ipv6?.subnet ?? ''}`).join(' ')
    if (this.#view?.raw !== raw || this.#view.facts !== facts || this.#view.held !== held) {
      const hazards = allHazards(facts, raw, subnets)
      const { hostId } = this.identity
      const safe = withoutHazards(withoutOtherFamily(raw, facts.publicIp, hostId), hazards, hostId)
      this.#hazardLog.note(safe.problems.slice(raw.problems.length))
      this.#view = { raw, facts, held, safe }
    }
    return this.#view.safe
  }

  /** What of the store is ignored, and why. */
  get problems(): readonly StoreProblem[] {
    return this.#facts instanceof OverlayError ? this.mirror.view().problems : this.view().problems
  }

  /** The VXLAN port. */
  get port(): number {
    return this.#config.port
  }

  /** What keeps this host from serving new containers, as a sentence; null when nothing does. */
  notReady(): string | null {
    if (this.#facts instanceof OverlayError) return this.#facts.message
    if (this.mirror.status().mapFrom === 'nothing') return 'etcd has not answered yet'
    return this.reconciler.failure
  }

  /** Looks at the machine and brings it to what the journal says; then follows the store. */
  async start(): Promise<void> {
    await this.ports.follow()
    await this.#look.run()
    await this.#reclaim().catch((error: unknown) => this.#sayFailed(error))
    this.mirror.start()
    this.#stopping.push(
      this.mirror.onChange(() => void this.#mapChanged()),
      stopOf(watchHost(() => void this.hostChanged())),
      stopOf(watchRules(() => void this.#rulesChanged())),
    )
    const timer = setInterval(() => void this.#tick(), TICK_MS)
    this.#stopping.push(() => clearInterval(timer))
    void this.#agree()
  }

  /** Somebody changed this machine's network stack, or dockerd has just rewritten its rules. */
  async hostChanged(): Promise<void> {
    await this.#look.run()
    await this.publisher.attempt()
  }

  /** Somebody changed the firewall: our part of it may be gone with the rest. */
  async #rulesChanged(): Promise<void> {
    this.reconciler.suspectDrift()
    await Promise.all([this.reconciler.attempt(), this.firewall.look()])
  }

  /** Ends everything but the links and routes, which running containers go on using. */
  async stop(): Promise<void> {
    for (const end of this.#stopping.splice(0)) end()
    const goodbye = this.publisher.stop().catch((error: unknown) => {
      this.#options.log.info(
        { reason: messageOf(error) },
        'this host stays listed until it expires',
      )
    })
    await settlesWithin(goodbye, STORE_PATIENCE_MS)
    await this.mirror.stop()
    await this.reconciler.stop()
    this.ports.stop()
  }

  /** Waits for the first answer of etcd and the cluster's configuration. */
  async #agree(): Promise<void> {
    const isUp = await this.mirror.ready(24 * 60 * 60 * 1000)
    if (!isUp) return
    try {
      await this.#config.ensure()
    } catch (error) {
      const reason = messageOf(error)
      if (reason !== this.#complaint) {
        this.#options.log.error({ reason }, 'the cluster has no usable configuration')
      }
      this.#complaint = reason
    }
    await this.#mapChanged()
    if (this.rebuild.isBehind) await this.rebuild.attempt()
  }

  async #mapChanged(): Promise<void> {
    this.#config.note()
    await Promise.all([this.reconciler.attempt(), this.publisher.attempt()])
  }

  async #lookAround(): Promise<void> {
    try {
      this.#facts = await observeHostFacts(this.#options.settings)
    } catch (error) {
      const reason = messageOf(error)
      if (!(this.#facts instanceof OverlayError) || this.#facts.message !== reason) {
        this.#options.log.error({ reason }, 'cannot make out the network of this host')
      }
      // What was true a moment ago serves better than nothing.
      if (this.#facts instanceof OverlayError) {
        this.#facts = new OverlayError('host_state', reason, { cause: error })
      }
    }
    this.reconciler.suspectDrift()
    await Promise.all([this.reconciler.attempt(), this.firewall.look()])
  }

  async #tick(): Promise<void> {
    if (this.#ticking) return
    this.#ticking = true
    try {
      // What waits for the store comes last: the machine is looked after while the store is silent.
      const tick = performance.now()
      if (tick >= this.#nextFullLook) {
        this.#nextFullLook = tick + FULL_LOOK_MS
        await this.#look.run()
        void this.publisher.attempt()
      }
      if (this.reconciler.isBehind) await this.reconciler.attempt()
      else if (this.reconciler.isWaiting) void this.reconciler.lookIntoSandboxes()
      if (tick >= this.#nextReclaim) {
        this.#nextReclaim = tick + RECLAIM_EVERY_MS
        await this.#reclaim()
      }
      if (this.rebuild.isBehind && tick >= this.#nextCompare) {
        this.#nextCompare = tick + COMPARE_EVERY_MS
        void this.rebuild.attempt()
      }
      if (this.publisher.isBehind) void this.publisher.attempt()
      if (this.mirror.status().state !== 'up') return
      if (tick >= this.#nextNaming) {
        this.#nextNaming = tick + NAME_EVERY_MS
        void this.#naming.run()
      }
      if (!this.#config.isAgreed) await this.#agree()
      await this.#config.restore()
    } catch (error) {
      this.#sayFailed(error)
    } finally {
      this.#ticking = false
    }
  }

  /** Takes back what nobody has any more. */
  async #reclaim(): Promise<void> {
    const now = Date.now()
    await this.endpoints.reclaim(now)
    await this.ports.follow()
    // An address without an endpoint may be that of a container on a cable that nobody claims.
    if (this.#unclaimed.spared(performance.now()).length === 0) {
      await this.addresses.reclaim(now)
      await this.addresses6.reclaim(now)
    }
    await this.subnets.reclaim(now, (networkId) => this.rebuild.isDoubtful(networkId))
  }

  #sayFailed(error: unknown): void {
    this.#options.log.error({ reason: messageOf(error) }, 'housekeeping failed')
  }
}

const stopOf =
  (watch: HostWatch): (() => void) =>
  () =>
    watch.stop()
