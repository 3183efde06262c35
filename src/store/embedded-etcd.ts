import { setTimeout as sleep } from 'node:timers/promises'
import { messageOf } from '../errors.ts'
import type { Log } from '../log.ts'
import { loopbackUrl, type EtcdPlace } from './etcd-flags.ts'
import { EtcdProcess, healthOf } from './etcd-process.ts'
import { etcdVersion } from './etcd-program.ts'
import { EtcdSilence } from './etcd-silence.ts'
import { relieveEtcd, type Relief } from './etcd-space.ts'

export interface EmbeddedEtcdOptions extends Omit<EtcdPlace, 'quotaBytes'> {
  readonly log: Log
  /** 2 GiB unless told: ten thousand times what a hundred hosts write. */
  readonly quotaBytes?: number
  /** The program; "etcd" on the PATH unless told. */
  readonly program?: string
  /** Between two looks at its health; five seconds unless told. */
  readonly lookMs?: number
}

const QUOTA_BYTES = 2 * 1024 ** 3
const LOOK_MS = 5000
const FIRST_PAUSE_MS = 200
const MAX_PAUSE_MS = 30_000
/** One that ran for so long is started again at once. */
const STEADY_MS = 60_000

type State =
  | { readonly is: 'up' }
  /** Over by an accident, or never begun: it comes, or it shows why not. */
  | { readonly is: 'starting'; readonly reason: string }
  /** Its last start met this; the next is tried all the same. */
  | { readonly is: 'failed'; readonly reason: string }

/**
 * The real etcd as a child of ours, for a host that was given none: started again whenever it ends or
 * hangs, with growing pauses while that does not help, and never without its reason in the log.
 */
export class EmbeddedEtcd {
  readonly #place: EtcdPlace
  readonly #program: string
  readonly #lookMs: number
  readonly #log: Log
  readonly #stopping = new AbortController()
  readonly #stopped = Promise.withResolvers<void>()
  #state: State = { is: 'starting', reason: 'it has not been started yet' }
  #waiting: (() => void)[] = []
  #process: EtcdProcess | null = null
  #running: Promise<void> | null = null
  #told: string | null = null

  constructor(options: EmbeddedEtcdOptions) {
    const { dataDir, port, others, quotaBytes = QUOTA_BYTES } = options
    this.#place = { dataDir, port, others, quotaBytes }
    this.#program = options.program ?? 'etcd'
    this.#lookMs = options.lookMs ?? LOOK_MS
    this.#log = options.log
  }

  /** Where this host itself reaches it. */
  get endpoint(): string {
    return loopbackUrl(this.#place)
  }

  /** The number of its process; null while there is none. */
  get pid(): number | null {
    return this.#process?.pid ?? null
  }

  /** Begins to keep it running, until `stop`; returns at once. */
  start(): void {
    this.#running ??= this.#run()
  }

  /** Ends it and waits until it is gone. */
  async stop(): Promise<void> {
    this.#turn({ is: 'failed', reason: 'it was stopped' })
    this.#stopping.abort()
    this.#stopped.resolve()
    await this.#running
  }

  /**
   * Waits for a start that is under way.
   * @returns null when it runs, else why it does not: what its last start met, or that it takes longer
   */
  async trouble(patienceMs: number): Promise<string | null> {
    if (this.#state.is === 'starting' && patienceMs > 0) {
      const turned = new Promise<void>((resolve) => this.#waiting.push(resolve))
      const patience = new AbortController()
      const expired = sleep(patienceMs, undefined, { signal: patience.signal }).catch(
        () => undefined,
      )
      await Promise.race([turned, expired])
      patience.abort()
    }
    return this.#state.is === 'up' ? null : this.#state.reason
  }

  async #run(): Promise<void> {
    const { signal } = this.#stopping
    for (let failures = 0; !signal.aborted;) {
      const begun = performance.now()
      const over = await this.#serve().then(
        (reason) => ({ is: 'starting' as const, reason }),
        (error: unknown) => ({ is: 'failed' as const, reason: messageOf(error) }),
      )
      await this.#process?.end('SIGKILL')
      this.#process = null
      if (signal.aborted) break
      failures = performance.now() - begun > STEADY_MS ? 1 : failures + 1
      this.#tell(over)
      const pause = Math.min(MAX_PAUSE_MS, FIRST_PAUSE_MS * 2 ** failures)
      await sleep(pause, undefined, { signal }).catch(() => undefined)
    }
  }

  /** Starts it and sees it through. @returns why it is over @throws OverlayError why it could not start */
  async #serve(): Promise<string> {
    const { signal } = this.#stopping
    const version = await etcdVersion(this.#program)
    if (signal.aborted) return 'it was stopped'
    const etcd = await EtcdProcess.launch(this.#place, this.#program, this.#log)
    this.#process = etcd
    await etcd.untilServing(signal)
    this.#log.info(
      { process: etcd.pid, version, data: this.#place.dataDir },
      `this host's own etcd answers at ${this.endpoint}`,
    )
    this.#told = null
    this.#turn({ is: 'up' })
    return this.#watch(etcd)
  }

  /** Looks after a running one. @returns why that is over, and it is gone */
  async #watch(etcd: EtcdProcess): Promise<string> {
    const { signal } = this.#stopping
    const silence = new EtcdSilence(this.#lookMs)
    for (;;) {
      const look = new AbortController()
      const waited = sleep(this.#lookMs, undefined, { signal: look.signal }).catch(() => undefined)
      await Promise.race([waited, etcd.gone, this.#stopped.promise])
      look.abort()
      if (signal.aborted) {
        await etcd.end()
        return 'it was stopped'
      }
      if (etcd.ended !== null) {
        const said = etcd.lastWords.split('\n').slice(-2).join('; ')
        return `it ended (${etcd.ended}${said && `: ${said}`})`
      }
      const begun = performance.now()
      const health = await healthOf(this.endpoint, this.#lookMs)
      const relief = silence.isToRelieve(health, begun) ? await this.#relieve() : null
      silence.saw(health, relief, begun)
      const silentFor = silence.beyondPatience(performance.now())
      if (silentFor === null) continue
      await etcd.end('SIGKILL')
      return `it did not answer for ${Math.round(silentFor / 1000)} s and was ended`
    }
  }

  /** @returns what etcd itself says it suffers from, so that ending it would not help; null for nothing */
  async #relieve(): Promise<Relief | null> {
    try {
      const relief = await relieveEtcd(this.endpoint, this.#place.quotaBytes)
      if (relief !== null) this.#log[relief.relieved ? 'warn' : 'error'](relief.what)
      return relief
    } catch (error) {
      this.#log.warn(`etcd does not say what it suffers from: ${messageOf(error)}`)
      return null
    }
  }

  #tell(over: Exclude<State, { is: 'up' }>): void {
    this.#turn(over)
    const { reason } = over
    // Tried for ever, told once.
    if (reason !== this.#told) this.#log.error(`this host's own etcd does not run: ${reason}`)
    this.#told = reason
  }

  #turn(state: State): void {
    this.#state = state
    if (state.is === 'starting') return
    for (const wake of this.#waiting.splice(0)) wake()
  }
}
