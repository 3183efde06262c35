import type { IEvent, IWatchResponse } from 'etcd3'
import { messageOf, OverlayError } from '../errors.ts'
import type { EtcdClient, WatchStream } from './etcd-client.ts'
import { entryOf, prefixRange } from './etcd-wire.ts'
import { next } from './revision.ts'
import type { Change, Watch, WatchHandlers } from './store.ts'

function changeOf({ type, kv }: IEvent): Change {
  if (type === 'Put') return { kind: 'put', entry: entryOf(kv) }
  return { kind: 'delete', key: kv.key.toString(), revision: kv.mod_revision }
}

/** Events in etcd's order, cut where the revision changes; etcd never splits a revision. */
function byRevision(events: readonly IEvent[]): Map<string, Change[]> {
  const groups = new Map<string, Change[]>()
  for (const event of events) {
    const revision = event.kv.mod_revision
    const group = groups.get(revision) ?? []
    group.push(changeOf(event))
    groups.set(revision, group)
  }
  return groups
}

function whyCanceled(response: IWatchResponse): string {
  return response.compact_revision === '0'
    ? `etcd ended the watch: ${response.cancel_reason || 'no reason given'}`
    : `etcd compacted its history up to revision ${response.compact_revision}`
}

/**
 * One watch on one stream of its own. It never reconnects by itself: etcd3's watcher takes the
 * revision of a "created" answer for one it has delivered and so can skip changes.
 */
export class EtcdWatch implements Watch {
  readonly #handlers: WatchHandlers
  #stream: WatchStream | null = null
  #over = false
  #opening: NodeJS.Timeout

  /** @param openMs how long etcd may take to confirm the watch */
  constructor(
    client: EtcdClient,
    prefix: string,
    after: string,
    handlers: WatchHandlers,
    openMs: number,
  ) {
    this.#handlers = handlers
    this.#opening = setTimeout(
      () => this.#lose(`${client.endpoint} did not confirm the watch within ${openMs} ms`),
      openMs,
    )
    client.openWatch().then(
      (stream) => this.#begin(stream, prefix, after),
      (error: unknown) => this.#lose(messageOf(error)),
    )
  }

  async stop(): Promise<void> {
    this.#finish()
  }

  #begin(stream: WatchStream, prefix: string, after: string): void {
    this.#stream = stream
    stream.on('error', (error) => this.#lose(error.message))
    stream.on('end', () => this.#lose('etcd closed the connection'))
    stream.on('data', (response) => this.#take(response))
    if (this.#over) return stream.cancel()
    stream.write({ create_request: { ...prefixRange(prefix), start_revision: next(after) } })
    return undefined
  }

  #take(response: IWatchResponse): void {
    if (this.#over) return undefined
    if (response.canceled) return this.#lose(whyCanceled(response))
    if (response.created) clearTimeout(this.#opening)
    for (const [revision, changes] of byRevision(response.events)) {
      try {
        if (!this.#over) this.#handlers.onChanges(changes, revision)
      } catch (error) {
        return this.#lose(`revision ${revision} could not be taken in: ${messageOf(error)}`)
      }
    }
    return undefined
  }

  #lose(reason: string): void {
    if (this.#over) return
    this.#finish()
    this.#handlers.onLost(new OverlayError('store_unavailable', reason))
  }

  #finish(): void {
    this.#over = true
    clearTimeout(this.#opening)
    this.#stream?.cancel()
  }
}
