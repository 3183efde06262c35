import type { Datapath } from '../datapath/datapath.ts'
import type { ForwardingTables } from '../datapath/tables.ts'
import { messageOf } from '../errors.ts'
import { applyHostState } from '../linux/apply.ts'
import type { HostPaths } from '../linux/host-paths.ts'
import { TUN_NAME, type HostState } from '../linux/host-state.ts'
import type { ObservedState } from '../linux/observe.ts'
import type { Log } from '../log.ts'
import type { Ip } from '../net/ip.ts'
import type { ClusterView } from '../store/cluster-view.ts'
import { CoalescedTask } from './coalesced-task.ts'
import { desiredHostState } from './desired-host-state.ts'
import { desiredTables } from './desired-tables.ts'
import { allHazards, type HostFacts } from './host-facts.ts'
import type { HostIdentity } from './host-identity.ts'
import type { Journal } from './journal.ts'
import { carried } from './ipv6-obstacle.ts'
import { membersOf, type Member } from './members.ts'
import { SandboxRoutes } from './sandbox-routes.ts'
import { steeringPrefixes } from './steering.ts'
import type { UnclaimedLinks } from './unclaimed-links.ts'

export interface ReconcilerOptions {
  readonly journal: Journal
  readonly identity: HostIdentity
  /** The map, less what would cut this host off. */
  readonly view: () => ClusterView
  /** False until the map was read, from the store or from the file: an empty map is not the truth. */
  readonly hasMap: () => boolean
  readonly facts: () => HostFacts
  /** Attaches a forwarder to the TUN; its sockets bind there. */
  readonly startDatapath: (underlay: Underlay) => Promise<Datapath>
  /** The VXLAN port. */
  readonly port: () => number
  readonly paths: HostPaths
  /** Is shown what is there, once, and says what of it stays although the journal does not have it. */
  readonly unclaimed: Pick<UnclaimedLinks, 'note' | 'spared'>
  readonly log: Log
}

/** Where the forwarder's sockets are. */
interface Underlay {
  readonly bindIp: Ip
  readonly port: number
}

interface Forwarder extends Underlay {
  readonly running: Datapath
  isDead: boolean
}

/**
 * Makes the machine what the journal and the map say: links, routes, rules, the forwarder and its
 * tables, the routes inside running containers. Level-triggered: a run starts from what is there.
 */
export class Reconciler {
  readonly #options: ReconcilerOptions
  readonly #task: CoalescedTask
  readonly #sandboxes: SandboxRoutes
  readonly #sandboxTask: CoalescedTask
  readonly #firstRun = Promise.withResolvers<void>()
  #datapath: Forwarder | null = null
  #applied: string | null = null
  /** Counts what suspectDrift() was told, so that nothing told during a run is lost. */
  #suspicions = 0
  #stopped = false
  #programmed: string | null = null
  #failure: string | null = null
  #isWaiting = false
  readonly #told = new Set<string>()

  constructor(options: ReconcilerOptions) {
    this.#options = options
    this.#sandboxes = new SandboxRoutes(options.paths, options.log)
    this.#task = new CoalescedTask(() => this.#reconcile())
    this.#sandboxTask = new CoalescedTask(() => this.#syncSandboxes())
  }

  get datapath(): Datapath | null {
    return this.#datapath?.running ?? null
  }

  /** Whether the last run left the machine as it should be. */
  get failure(): string | null {
    return this.#failure
  }

  /** Whether the last run failed or the forwarder has died since, so that another run is wanted soon. */
  get isBehind(): boolean {
    return this.#failure !== null || (this.#datapath?.isDead ?? false)
  }

  /** Whether a joined container has yet to appear, so that another look at the containers is wanted soon. */
  get isWaiting(): boolean {
    return this.#isWaiting
  }

  /** Settles when the machine was what it should be once since the start. */
  get firstRun(): Promise<void> {
    return this.#firstRun.promise
  }

  /** Looks at the routes inside the containers; also done in the background after each run. */
  lookIntoSandboxes(): Promise<void> {
    return this.#sandboxTask.run()
  }

  /** Settles when the machine is what the journal said at the call. @throws OverlayError */
  run(): Promise<void> {
    return this.#task.run()
  }

  /** Somebody else may have changed the machine: the next run looks at all of it. */
  suspectDrift(): void {
    this.#suspicions++
    this.#applied = null
  }

  /** The same in the background; a failure is logged once and tried again by the caller's timer. */
  async attempt(): Promise<void> {
    try {
      await this.run()
    } catch {
      // #reconcile has said it.
    }
  }

  /** Ends the forwarder for good. Networks' links and routes stay, so a restarted plugin finds its containers connected. */
  async stop(): Promise<void> {
    this.#stopped = true
    // Runs under way may be about to start one.
    await this.attempt()
    await this.#sandboxTask.run()
    await this.#endForwarder()
    await this.#clearAway()
  }

  /** A host without networks is left without a trace: to steer its Docker is of use only while the plugin runs. */
  async #clearAway(): Promise<void> {
    const { paths, log } = this.#options
    try {
      const want = this.#desired()
      if (want.tun !== null || want.spared.length > 0) return
      await applyHostState({ ...want, routes: [] }, { paths })
    } catch (error) {
      log.info({ reason: messageOf(error) }, 'what steers Docker on this host stays')
    }
  }

  async #endForwarder(): Promise<void> {
    const datapath = this.#datapath
    this.#datapath = null
    await datapath?.running.stop()
  }

  async #reconcile(): Promise<void> {
    try {
      await this.#makeTrue()
      if (this.#failure !== null) this.#options.log.info('the host is as it should be again')
      this.#failure = null
    } catch (error) {
      const reason = messageOf(error)
      if (reason !== this.#failure) {
        this.#options.log.error({ reason }, 'the host is not as it should be')
      }
      this.#failure = reason
      this.#applied = null
      throw error
    }
  }

  async #makeTrue(): Promise<void> {
    if (this.#stopped || !this.#options.hasMap()) return
    const want = this.#desired()
    if (this.#isMisplaced(want)) await this.#endForwarder()
    const text = stateText(want)
    if (text !== this.#applied) {
      const suspicions = this.#suspicions
      this.#applied = null
      // Asked again after the host was looked at: a cable plugged in meanwhile is then expected.
      const { unclaimed, paths } = this.#options
      const wanted = ({ links }: ObservedState): HostState => {
        unclaimed.note(links.values(), performance.now())
        const now = this.#desired()
        // Under a running forwarder its device stays: whoever removes the last network asks for another run.
        return this.#datapath ? { ...now, tun: now.tun ?? want.tun } : now
      }
      const changes = await applyHostState(wanted, {
        paths,
        onSkipped: (sentence) => this.#tellOnce(sentence),
      })
      this.#applied = suspicions === this.#suspicions ? text : null
      for (const { command } of changes) this.#options.log.debug({ command }, 'host changed')
    }
    await this.#forward(want)
    this.#firstRun.resolve()
    // A thousand containers take their time, which no caller should wait for.
    void this.#sandboxTask.run()
  }

  async #syncSandboxes(): Promise<void> {
    const { journal, view, identity, log } = this.#options
    try {
      this.#isWaiting = await this.#sandboxes.sync({
        journal,
        members: this.#members(),
        view: view(),
        hostId: identity.hostId,
        isOver: () => this.#stopped,
      })
    } catch (error) {
      log.warn({ reason: messageOf(error) }, 'cannot look after the routes inside containers')
    }
  }

  #desired(): HostState {
    const { identity, view, facts } = this.#options
    const { overlayMtu } = facts()
    const map = view()
    const hazards = allHazards(facts(), map, [])
    return desiredHostState({
      hostId: identity.hostId,
      members: this.#members(),
      view: map,
      overlayMtu,
      steering: steeringPrefixes(map, identity.hostId, hazards),
      outside: { uplinks: facts().uplinks, tunnelPort: this.#options.port() },
      spared: this.#options.unclaimed.spared(performance.now()),
    })
  }

  #members(): Member[] {
    const { journal, facts, log } = this.#options
    return carried(membersOf(journal), facts(), (sentence) => {
      if (this.#told.has(sentence)) return
      this.#told.add(sentence)
      log.warn(sentence)
    })
  }

  /** A forwarder that nobody needs, that has died, or whose address or port has changed. */
  #isMisplaced(want: HostState): boolean {
    if (!this.#datapath) return false
    const { isDead, bindIp, port } = this.#datapath
    const { facts, port: wanted } = this.#options
    return want.tun === null || isDead || bindIp !== facts().ip || port !== wanted()
  }

  async #forward(want: HostState): Promise<void> {
    if (want.tun === null) return
    const { facts, port, startDatapath, log } = this.#options
    if (!this.#datapath) {
      const underlay = { bindIp: facts().ip, port: port() }
      const forwarder = { ...underlay, running: await startDatapath(underlay), isDead: false }
      this.#datapath = forwarder
      this.#programmed = null
      forwarder.running.failed.catch((error: unknown) => {
        // Replaced by the caller's timer, so that one that dies at once does not keep the host busy.
        forwarder.isDead = true
        if (this.#datapath !== forwarder) return
        log.error(
          { reason: messageOf(error) },
          `the forwarder of ${TUN_NAME} died; another is started`,
        )
      })
    }
    const tables = this.#tables()
    const text = tablesText(tables)
    if (text === this.#programmed) return
    this.#datapath.running.program(tables)
    this.#programmed = text
  }

  #tables(): ForwardingTables {
    const { identity, view, facts } = this.#options
    const { hostId, vtepMac } = identity
    return desiredTables(this.#members(), view(), hostId, vtepMac, facts().overlayMtu)
  }

  #tellOnce(sentence: string): void {
    if (this.#told.has(sentence)) return
    this.#told.add(sentence)
    this.#options.log.info(sentence)
  }
}

/**
 * Two states of one text need no look at the host between them. Cables are left out: each is plugged
 * and unplugged by the call that asks for it, and a whole look takes three programs.
 */
const stateText = (state: HostState): string =>
  JSON.stringify({ ...state, ports: [], sysctls: [...state.sysctls] })

/** JSON has no word for the number that an IPv6 address is. */
const tablesText = (tables: ForwardingTables): string =>
  JSON.stringify(tables, (_, part: unknown) => (typeof part === 'bigint' ? String(part) : part))
