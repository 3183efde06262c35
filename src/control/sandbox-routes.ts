import { messageOf } from '../errors.ts'
import { syncSandboxRoutes } from '../linux/sandbox-routes.ts'
import type { Log } from '../log.ts'
import { parseCidr } from '../net/cidr.ts'
import { parseIpv4 } from '../net/ipv4.ts'
import type { ClusterView } from '../store/cluster-view.ts'
import type { Endpoint, Journal } from './journal.ts'
import { staticRoutes, type Member } from './members.ts'

/** How long after Join libnetwork may still be setting routes itself. */
const SETTLE_MS = 30_000

/**
 * Keeps the static routes inside running containers in step with the map. A sandbox is looked at when
 * it appears, which on Docker 20.10 to 27 is after Join, and again whenever what it should have
 * changes.
 */
export class SandboxRoutes {
  readonly #log: Log
  /** Endpoint to the routes it was last brought to. */
  readonly #synced = new Map<string, string>()

  constructor(log: Log) {
    this.#log = log
  }

  /** @returns whether a joined sandbox has not appeared yet, so that another look is wanted soon */
  async sync(
    journal: Journal,
    members: readonly Member[],
    view: ClusterView,
    hostId: string,
  ): Promise<boolean> {
    const live = new Set(journal.endpoints.values().map(({ id }) => id))
    for (const id of this.#synced.keys()) if (!live.has(id)) this.#synced.delete(id)
    let awaited = false
    for (const member of members) {
      if (member.held.pool !== null) continue
      const wanted = staticRoutes(member, members, view, hostId)
      for (const endpoint of member.endpoints) {
        if (endpoint.sandbox === null) this.#synced.delete(endpoint.id)
        else if (!(await this.#syncOne(journal, endpoint, member, wanted))) awaited = true
      }
    }
    return awaited
  }

  async #syncOne(
    journal: Journal,
    endpoint: Endpoint,
    member: Member,
    wanted: readonly string[],
  ): Promise<boolean> {
    const text = wanted.join(' ')
    if (this.#synced.get(endpoint.id) === text) return true
    try {
      const joined = endpoint.joinedRoutes.map(parseCidr)
      const isYoung = Date.now() - endpoint.joinedAt < SETTLE_MS && !this.#synced.has(endpoint.id)
      const result = await syncSandboxRoutes({
        netns: endpoint.sandbox!,
        gateway: parseIpv4(member.held.gateway),
        wanted: wanted.map(parseCidr),
        known: joined,
        after: isYoung ? joined : [],
      })
      if (result === 'gone' || result === 'unsettled') return false
      await journal.endpoints.update(endpoint.id, (record) => ({
        ...record,
        joinedRoutes: [...wanted],
      }))
      this.#synced.set(endpoint.id, text)
      return true
    } catch (error) {
      this.#log.warn(
        { endpoint: endpoint.id, reason: messageOf(error) },
        'cannot bring the routes of a container up to date',
      )
      return false
    }
  }
}
