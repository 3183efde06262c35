import { setTimeout as sleep } from 'node:timers/promises'
import { OverlayError } from '../errors.ts'
import { EtcdClient, type EtcdOptions } from './etcd-client.ts'
import { CallTimeout, isSilence, reasonOf, refusal, wasNeverSent } from './etcd-error.ts'
import { EtcdWatch } from './etcd-watch.ts'
import { compareOf, entryOf, prefixRange, requestOf } from './etcd-wire.ts'
import type {
  CommitResult,
  Compare,
  Operation,
  Snapshot,
  Store,
  Watch,
  WatchHandlers,
} from './store.ts'

/** Every call settles within this, however many endpoints are tried. */
const PATIENCE_MS = 4000
/** The least that one endpoint of several gets. */
const MIN_ATTEMPT_MS = 1500
/** Between two rounds over all endpoints. */
const PAUSE_MS = 200

interface Call<T> {
  readonly run: (client: EtcdClient) => Promise<T>
  /** Whether doing it twice is as good as once. */
  readonly repeatable: boolean
}

async function within<T>(ms: number, work: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const timeout = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new CallTimeout(`no answer within ${Math.round(ms)} ms`)), ms)
  })
  try {
    return await Promise.race([work, timeout])
  } finally {
    clearTimeout(timer)
  }
}

/** etcd v3. Endpoints are tried in turn, the last one that answered first. */
export class EtcdStore implements Store {
  readonly #clients: EtcdClient[]
  readonly #attemptMs: number
  #silentSince: Date | null = null
  #closed = false

  constructor(options: EtcdOptions) {
    const { endpoints } = options
    if (endpoints.length === 0) throw new OverlayError('bad_input', 'no etcd endpoint is given')
    this.#attemptMs = Math.max(MIN_ATTEMPT_MS, PATIENCE_MS / endpoints.length)
    this.#clients = endpoints.map((each) => new EtcdClient(each, options, this.#attemptMs))
  }

  async range(prefix: string): Promise<Snapshot> {
    const response = await this.#call({
      run: (client) => client.kv.range(prefixRange(prefix)),
      repeatable: true,
    })
    const entries = response.kvs.map(entryOf)
    return {
      revision: response.header.revision,
      entries: new Map(entries.map((entry) => [entry.key, entry])),
    }
  }

  async commit(
    compares: readonly Compare[],
    operations: readonly Operation[],
  ): Promise<CommitResult> {
    const { header, succeeded } = await this.#call({
      run: (client) =>
        client.kv.txn({ compare: compares.map(compareOf), success: operations.map(requestOf) }),
      repeatable: false,
    })
    return { succeeded, revision: header.revision }
  }

  async grant(seconds: number): Promise<string> {
    const response = await this.#call({
      run: (client) => client.leaseClient.leaseGrant({ TTL: seconds }),
      // A lease whose answer was lost holds no key and runs out.
      repeatable: true,
    })
    return response.ID
  }

  async revoke(lease: string): Promise<void> {
    try {
      await this.#call({
        run: (client) => client.leaseClient.leaseRevoke({ ID: lease }),
        repeatable: true,
      })
    } catch (error) {
      // Already gone, which is what was wanted.
      if (!(error instanceof OverlayError) || error.code !== 'not_found') throw error
    }
  }

  watch(prefix: string, after: string, handlers: WatchHandlers): Watch {
    const client = this.#clients[0]!
    return new EtcdWatch(
      client,
      prefix,
      after,
      {
        onChanges: handlers.onChanges,
        onLost: (reason) => {
          this.#putLast(client)
          handlers.onLost(reason)
        },
      },
      PATIENCE_MS,
    )
  }

  async close(): Promise<void> {
    this.#closed = true
    for (const client of this.#clients) client.close()
  }

  async #call<T>({ run, repeatable }: Call<T>): Promise<T> {
    const begun = performance.now()
    const left = (): number => begun + PATIENCE_MS - performance.now()
    const atLeast = this.#clients.length
    for (let tries = 1; ; tries++) {
      const client = this.#clients[0]!
      try {
        const result = await within(Math.min(this.#attemptMs, left()), run(client))
        this.#silentSince = null
        return result
      } catch (error) {
        if (!isSilence(error) || this.#closed) throw refusal(error, client.endpoint)
        this.#silentSince ??= new Date()
        this.#putLast(client)
        const mayRepeat = repeatable || wasNeverSent(error)
        const roundDone = tries % atLeast === 0
        if (!mayRepeat || (roundDone && !this.#worthWaiting()) || left() < PAUSE_MS * 2) {
          throw this.#unavailable(error)
        }
        if (roundDone) await sleep(PAUSE_MS)
      }
    }
  }

  /** A restart of etcd is waited for; an outage that lasts is reported after one round. */
  #worthWaiting(): boolean {
    return this.#silentSince === null || Date.now() - this.#silentSince.getTime() < PATIENCE_MS
  }

  #putLast(client: EtcdClient): void {
    if (this.#clients[0] === client) this.#clients.push(this.#clients.shift()!)
  }

  #unavailable(error: unknown): OverlayError {
    const where = this.#clients
      .map(({ endpoint }) => endpoint)
      .sort()
      .join(', ')
    const since = this.#silentSince?.toISOString() ?? 'now'
    return new OverlayError(
      'store_unavailable',
      `etcd at ${where} has not answered since ${since} (${reasonOf(error)})`,
      { cause: error },
    )
  }
}
