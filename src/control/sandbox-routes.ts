import { messageOf } from '../errors.ts'
import type { HostPaths } from '../linux/host-paths.ts'
import { syncSandboxRoutes } from '../linux/sandbox-routes.ts'
import type { Log } from '../log.ts'
import { parseCidr, type Cidr } from '../net/cidr.ts'
import { parseCidr6, type Cidr6 } from '../net/cidr6.ts'
import { parseIp } from '../net/ip.ts'
import type { ClusterView } from '../store/cluster-view.ts'
import type { Endpoint, Journal } from './journal.ts'
import { staticRoutes, type Member } from './members.ts'

/** How long after Join libnetwork may still be setting routes itself. */
const SETTLE_MS = 30_000

export interface SandboxSync {
  readonly journal: Journal
  readonly members: readonly Member[]
  readonly view: ClusterView
  readonly hostId: string
  /** Asked between two containers: the plugin stops. */
  readonly isOver: () => boolean
}

/**
 * Keeps the static routes inside running containers in step with the map. A sandbox is looked at when
 * it appears, which on Docker 20.10 to 27 is after Join, and again whenever what it should have
 * changes.
 */
export class SandboxRoutes {
  readonly #paths: HostPaths
  readonly #log: Log
  /** Endpoint to the sandbox and the routes it was last brought to. */
  readonly #synced = new Map<string, string>()
  /** Endpoint to what went wrong with it last, so that it is said once. */
  readonly #failures = new Map<string, string>()

  constructor(paths: HostPaths, log: Log) {
    this.#paths = paths
    this.#log = log
  }

  /** @returns whether a sandbox joined of late has not appeared yet, so that another look is wanted soon */
  async sync({ journal, members, view, hostId, isOver }: SandboxSync): Promise<boolean> {
    this.#forgetGone(journal)
    let awaited = false
    for (const member of members) {
      if (member.held.pool !== null) continue
      const wanted = staticRoutes(member, members, view, hostId)
      const text = wanted.join(' ')
      for (const endpoint of member.endpoints) {
        if (isOver()) return false
        const state = `${endpoint.sandbox} ${text}`
        if (endpoint.sandbox === null) this.#synced.delete(endpoint.id)
        else if (this.#synced.get(endpoint.id) === state) continue
        else if (await this.#syncOne(journal, endpoint, member, wanted)) {
          this.#synced.set(endpoint.id, state)
        } else awaited ||= isYoung(endpoint)
      }
    }
    return awaited
  }

  #forgetGone(journal: Journal): void {
    for (const known of [this.#synced, this.#failures]) {
      for (const id of known.keys()) if (!journal.endpoints.get(id)) known.delete(id)
    }
  }

  async #syncOne(
    journal: Journal,
    endpoint: Endpoint,
    member: Member,
    wanted: readonly string[],
  ): Promise<boolean> {
    try {
      const isNew = isYoung(endpoint) && !this.#synced.has(endpoint.id)
      const families = familiesOf(endpoint, member)
      for (const { gateway, isOf } of families) {
        const joined = endpoint.joinedRoutes.filter(isOf).map(parsePrefix)
        const result = await syncSandboxRoutes({
          netns: this.#paths.of(endpoint.sandbox!),
          gateway: parseIp(gateway),
          wanted: wanted.filter(isOf).map(parsePrefix),
          known: joined,
          after: isNew ? joined : [],
        })
        if (result === 'gone' || result === 'unsettled') return false
      }
      await journal.endpoints.update(endpoint.id, (record) => ({
        ...record,
        joinedRoutes: wanted.filter((prefix) => families.some(({ isOf }) => isOf(prefix))),
      }))
      this.#failures.delete(endpoint.id)
      return true
    } catch (error) {
      const reason = messageOf(error)
      if (this.#failures.get(endpoint.id) !== reason) {
        this.#log.warn(
          { endpoint: endpoint.id, reason },
          'cannot bring the routes of a container up to date',
        )
      }
      this.#failures.set(endpoint.id, reason)
      return false
    }
  }
}

/** The families that a container has, each with the bridge's address and with what tells its prefixes. */
function familiesOf(
  { address6 }: Endpoint,
  { network, held }: Member,
): { gateway: string; isOf: (prefix: string) => boolean }[] {
  const isIpv6 = (prefix: string): boolean => prefix.includes(':')
  return [
    ...(network.ipv4 ? [{ gateway: held.gateway, isOf: (text: string) => !isIpv6(text) }] : []),
    ...(held.ipv6 && address6 !== null ? [{ gateway: held.ipv6.gateway, isOf: isIpv6 }] : []),
  ]
}

const parsePrefix = (text: string): Cidr | Cidr6 =>
  text.includes(':') ? parseCidr6(text) : parseCidr(text)

const isYoung = ({ joinedAt }: Endpoint): boolean => Date.now() - joinedAt < SETTLE_MS
