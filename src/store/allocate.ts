import { setTimeout as sleep } from 'node:timers/promises'
import { OverlayError } from '../errors.ts'
import type { ClusterView } from './cluster-view.ts'
import type { Keyspace } from './keyspace.ts'
import { parseView } from './parse-view.ts'
import { isNewer } from './revision.ts'
import type { Compare, Operation, Snapshot, Store } from './store.ts'

/** What a decision wants written, and what it is worth to the caller once it is. */
export interface Decision<T> {
  readonly operations: readonly Operation[]
  /** Conditions beside the ones that every allocation carries. */
  readonly compares?: readonly Compare[]
  readonly result: T
}

/** How long races are fought before the caller hears of them. */
const PATIENCE_MS = 5000
/** The longest pause between two tries. */
const MAX_PAUSE_MS = 200

const keyOf = (operation: Operation): string =>
  'put' in operation ? operation.put : operation.delete

/** The key is still as the decision saw it: absent, or at the revision read. */
function unchanged(snapshot: Snapshot, key: string): Compare {
  const entry = snapshot.entries.get(key)
  return entry ? { key, is: 'modRevision', revision: entry.modRevision } : { key, is: 'absent' }
}

/**
 * The allocator key serializes all allocations of a cluster, since a condition on one key cannot
 * see an overlap with another; the written keys are guarded too, since flannel ignores our allocator.
 */
function conditions<T>(keyspace: Keyspace, snapshot: Snapshot, decision: Decision<T>): Compare[] {
  const given = decision.compares ?? []
  const guarded = new Set(given.map(({ key }) => key))
  const keys = [keyspace.allocator(), ...decision.operations.map(keyOf)]
  return [
    ...given,
    ...keys.filter((key) => !guarded.has(key)).map((key) => unchanged(snapshot, key)),
  ]
}

/** Whether every operation decided upon an earlier revision is in this snapshot. */
function isApplied(operations: readonly Operation[], since: string, snapshot: Snapshot): boolean {
  return operations.every((operation) => {
    const entry = snapshot.entries.get(keyOf(operation))
    if (!('put' in operation)) return entry === undefined
    return entry?.value === operation.value && isNewer(entry.modRevision, since)
  })
}

/**
 * Takes something that only one host may have: reads everything, lets `decide` choose, and commits
 * only if nobody allocated meanwhile; a lost race starts over, with a pause, for five seconds.
 * A decision without operations is returned as it is and nothing is written.
 *
 * @throws OverlayError conflict when races were lost for five seconds, store_unavailable, and
 *   whatever `decide` throws
 */
export async function allocate<T>(
  store: Store,
  keyspace: Keyspace,
  decide: (view: ClusterView) => Decision<T>,
): Promise<T> {
  const deadline = performance.now() + PATIENCE_MS
  let unsure: { operations: readonly Operation[]; since: string; result: T } | null = null
  for (let tries = 1; ; tries++) {
    const snapshot = await store.range(keyspace.root)
    if (unsure && isApplied(unsure.operations, unsure.since, snapshot)) return unsure.result

    const decision = decide(parseView(keyspace, snapshot))
    if (decision.operations.length === 0) return decision.result
    const stamp = { put: keyspace.allocator(), value: JSON.stringify({ At: new Date() }) }
    try {
      const { succeeded } = await store.commit(conditions(keyspace, snapshot, decision), [
        ...decision.operations,
        stamp,
      ])
      if (succeeded) return decision.result
      unsure = null
    } catch (error) {
      // The answer was lost, not necessarily the request: the next read tells.
      if (!isUnavailable(error) || performance.now() >= deadline) throw error
      unsure = {
        operations: decision.operations,
        since: snapshot.revision,
        result: decision.result,
      }
    }
    if (performance.now() >= deadline) {
      throw new OverlayError(
        'conflict',
        `other hosts allocated first in each of ${tries} tries within ${PATIENCE_MS / 1000} s; try again`,
      )
    }
    await sleep(Math.random() * Math.min(MAX_PAUSE_MS, 10 * 2 ** tries))
  }
}

function isUnavailable(error: unknown): boolean {
  return error instanceof OverlayError && error.code === 'store_unavailable'
}
