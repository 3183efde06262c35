import { gsoMaxSize } from '../datapath/limits.ts'
import { OverlayError } from '../errors.ts'
import type { HostPaths } from '../linux/host-paths.ts'
import { bridgeName, containerVethName, hostVethName } from '../linux/host-state.ts'
import { isNamespaceFile } from '../linux/namespace-file.ts'
import { addVeth, describeLink, removeLink } from '../linux/veth.ts'
import type { Log } from '../log.ts'
import type { ClusterView } from '../store/cluster-view.ts'
import type { Addresses } from './addresses.ts'
import type { Addresses6 } from './addresses6.ts'
import { mtuOf } from './desired-host-state.ts'
import { EndpointAddresses } from './endpoint-addresses.ts'
import type { HostFacts } from './host-facts.ts'
import {
  endpointsOf,
  type Endpoint,
  type HeldSubnet,
  type Journal,
  type Network,
} from './journal.ts'
import { KeyedMutex } from './keyed-mutex.ts'
import { refuseUncarried } from './ipv6-obstacle.ts'
import { membersOf, staticRoutes, type Member } from './members.ts'
import { newEndpoint, type EndpointWish } from './new-endpoint.ts'
import { untilNamed } from './until-named.ts'

/** How a container is plugged in. */
export interface Attachment {
  /** Link that libnetwork moves into the container. */
  readonly link: string
  readonly internal: boolean
  readonly egress: Network['egress']
  /** The bridge's IPv4 address. */
  readonly gateway: string
  /** Destinations, "10.33.6.0/24", each with the bridge's address of its family as next hop. */
  readonly routes: readonly { readonly to: string; readonly via: string }[]
}

export interface EndpointsOptions {
  readonly journal: Journal
  readonly addresses: Addresses
  readonly addresses6: Addresses6
  readonly hostId: string
  readonly view: () => ClusterView
  readonly facts: () => HostFacts
  readonly refusal: (subnet: string) => OverlayError | null
  /** Waits a little for a network that may yet be found again. @throws OverlayError not_found when it is not */
  readonly untilFound: (networkId: string) => Promise<void>
  /** Told after every change, to publish it and to look after the sandbox. */
  readonly onChange: () => void
  readonly paths: HostPaths
  readonly log: Log
}

/** How long an endpoint may look abandoned: dockerd pauses up to eight seconds between two tries of a call. */
export const ABANDONED_MS = 30_000

/** The containers' attachments on this host. None of this waits for the store. */
export class Endpoints {
  readonly #options: EndpointsOptions
  readonly #addresses: EndpointAddresses
  readonly #mutex = new KeyedMutex()
  /** Endpoints that look abandoned, with when that was first seen. */
  readonly #doubted = new Map<string, number>()

  constructor(options: EndpointsOptions) {
    this.#options = options
    this.#addresses = new EndpointAddresses(options.addresses, options.addresses6)
  }

  /**
   * Makes the cable and journals it; asked again for the same endpoint the answer is the same.
   * @throws OverlayError not_found (unknown network), bad_input, conflict, exhausted, host_state
   */
  create(wish: EndpointWish): Promise<Endpoint> {
    return this.#mutex.run(wish.id, async () => {
      const { journal, onChange } = this.#options
      const known = journal.endpoints.get(wish.id)
      if (known) {
        // The answer that was lost may have been lost with the process, before the cable was made.
        await this.#plugIn(known, this.#member(known.networkId))
        return known
      }
      if (!this.#find(wish.networkId)) await this.#options.untilFound(wish.networkId)
      await untilNamed(journal, wish.networkId, this.#options.refusal)
      const member = this.#member(wish.networkId)
      refuseUncarried(member, this.#options.facts())
      const chosen = await this.#addresses.choose(wish, member)
      try {
        const endpoint = newEndpoint(wish, chosen, member)
        await this.#forgetPredecessor(endpoint)
        await journal.endpoints.put(endpoint.id, endpoint)
        await this.#plugIn(endpoint, member)
        onChange()
        return endpoint
      } catch (error) {
        await journal.endpoints.delete(wish.id)
        await this.#addresses.undo(wish, chosen, member)
        throw error
      }
    })
  }

  /** Journals an attachment that was found again, while its container has it. @returns whether it did */
  adopt(endpoint: Endpoint): Promise<boolean> {
    return this.#mutex.run(endpoint.id, async () => {
      const { journal, paths, onChange } = this.#options
      if (journal.endpoints.get(endpoint.id)) return false
      if (!this.#find(endpoint.networkId) || !(await isInUse(endpoint, paths))) return false
      await journal.endpoints.put(endpoint.id, endpoint)
      onChange()
      return true
    })
  }

  /** Removes the cable, wherever its other end is. Unknown is done already. */
  delete(id: string): Promise<void> {
    return this.#mutex.run(id, async () => {
      const { journal, onChange } = this.#options
      const endpoint = journal.endpoints.get(id)
      await removeLink(hostVethName(id))
      if (!endpoint) return
      await journal.endpoints.delete(id)
      const member = this.#find(endpoint.networkId)
      if (member) await this.#addresses.forget(endpoint, member)
      onChange()
    })
  }

  /** What libnetwork needs to plug the container in. @throws OverlayError not_found */
  join(id: string, sandbox: string): Promise<Attachment> {
    return this.#mutex.run(id, async () => {
      const { journal, view, hostId, onChange } = this.#options
      const endpoint = journal.endpoints.get(id)
      const member = endpoint && this.#find(endpoint.networkId)
      if (!member) {
        throw new OverlayError(
          'not_found',
          `this host has no record of the endpoint ${id.slice(0, 12)}; start the container again`,
        )
      }
      const all = staticRoutes(member, membersOf(journal), view(), hostId)
      const routes = all.filter((to) => !to.includes(':') || endpoint.address6 !== null)
      await journal.endpoints.update(id, (record) => ({
        ...record,
        sandbox: sandbox || null,
        joinedRoutes: routes,
        joinedAt: Date.now(),
      }))
      onChange()
      const { held, network } = member
      return {
        link: containerVethName(id),
        internal: network.internal,
        egress: network.egress,
        gateway: held.gateway,
        routes: routes.map((to) => ({ to, via: gatewayFor(to, held) })),
      }
    })
  }

  /** The container is about to lose the interface. Unknown is done already. */
  leave(id: string): Promise<void> {
    return this.#mutex.run(id, async () => {
      await this.#options.journal.endpoints.update(id, (record) => ({ ...record, sandbox: null }))
    })
  }

  /**
   * Removes endpoints that Docker no longer has. It gives up on a plugin that does not answer (moby
   * pkg/plugins: after 15 s a call) and does not tell it again that a container is gone. One that was
   * joined and has neither cable nor namespace is of before the last boot, and its address is free at once.
   */
  async reclaim(now: number): Promise<void> {
    const { journal, paths, log } = this.#options
    const all = journal.endpoints.values()
    const known = new Set(all.map(({ id }) => id))
    for (const id of this.#doubted.keys()) if (!known.has(id)) this.#doubted.delete(id)
    for (const endpoint of all) {
      if (await isInUse(endpoint, paths)) {
        this.#doubted.delete(endpoint.id)
        continue
      }
      const since = this.#doubted.get(endpoint.id) ?? now
      this.#doubted.set(endpoint.id, since)
      if (endpoint.sandbox === null && now - since < ABANDONED_MS) continue
      log.warn(
        { endpoint: endpoint.id, address: endpoint.address },
        'the container of an endpoint went while overlay-ts was away; the endpoint is removed',
      )
      await this.delete(endpoint.id)
      const member = this.#find(endpoint.networkId)
      if (member) await this.#addresses.forgetUntold(endpoint, member)
    }
  }

  /** Whether its container still has the other end of the cable. */
  isInUse(endpoint: Endpoint): Promise<boolean> {
    return isInUse(endpoint, this.#options.paths)
  }

  /** Docker gives an address to one endpoint at a time: an older one with it is gone, unheard. */
  async #forgetPredecessor({ id, networkId, address, address6 }: Endpoint): Promise<void> {
    const { journal } = this.#options
    for (const other of endpointsOf(journal, networkId)) {
      const hasAddress =
        other.address === address || (address6 !== null && other.address6 === address6)
      if (other.id === id || !hasAddress) continue
      await removeLink(hostVethName(other.id))
      await journal.endpoints.delete(other.id)
    }
  }

  async #plugIn(endpoint: Endpoint, member: Member): Promise<void> {
    const mtu = mtuOf(member, this.#options.facts().overlayMtu)
    const pair = {
      host: hostVethName(endpoint.id),
      container: containerVethName(endpoint.id),
      bridge: bridgeName(endpoint.networkId),
      mtu,
      gsoMaxSize: gsoMaxSize(mtu),
      mac: endpoint.mac,
    }
    await addVeth(pair, { paths: this.#options.paths })
  }

  #find(networkId: string): Member | undefined {
    return membersOf(this.#options.journal).find(({ network }) => network.id === networkId)
  }

  #member(networkId: string): Member {
    const member = this.#find(networkId)
    if (member) return member
    throw new OverlayError(
      'not_found',
      `this host has no record of the network ${networkId.slice(0, 12)}, perhaps because its state directory was lost: remove the network (docker network rm) and create it again`,
    )
  }
}

/** The bridge's address in the family of the destination. */
const gatewayFor = (to: string, { gateway, ipv6 }: HeldSubnet): string =>
  to.includes(':') && ipv6 ? ipv6.gateway : gateway

/** Between Join and Leave a container has the other end of the cable. */
async function isInUse({ id, sandbox }: Endpoint, paths: HostPaths): Promise<boolean> {
  if (sandbox === null) return false
  return isNamespaceFile(paths.of(sandbox)) || (await describeLink(hostVethName(id))) !== null
}
