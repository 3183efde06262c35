import { OverlayError } from '../errors.ts'
import { bridgeName, containerVethName, hostVethName } from '../linux/host-state.ts'
import { addVeth, removeLink } from '../linux/veth.ts'
import type { Log } from '../log.ts'
import { containsIp, parseCidr, parseInterfaceAddress } from '../net/cidr.ts'
import { formatIpv4 } from '../net/ipv4.ts'
import { macOfIpv4, parseMac } from '../net/mac.ts'
import type { ClusterView } from '../store/cluster-view.ts'
import type { Addresses } from './addresses.ts'
import { mtuOf } from './desired-host-state.ts'
import type { HostFacts } from './host-facts.ts'
import type { Endpoint, Journal } from './journal.ts'
import { KeyedMutex } from './keyed-mutex.ts'
import { membersOf, staticRoutes, type Member } from './members.ts'
import { untilNamed } from './until-named.ts'

export interface EndpointWish {
  readonly id: string
  readonly networkId: string
  /** "10.33.5.2/17", or null where the choice is ours. */
  readonly address: string | null
  /** Any-case colon form, or null where the choice is ours. */
  readonly mac: string | null
}

/** How a container is plugged in. */
export interface Attachment {
  /** Link that libnetwork moves into the container. */
  readonly link: string
  readonly internal: boolean
  /** The bridge's address, next hop of the routes. */
  readonly gateway: string
  /** Destinations, "10.33.6.0/24". */
  readonly routes: readonly string[]
}

export interface EndpointsOptions {
  readonly journal: Journal
  readonly addresses: Addresses
  readonly hostId: string
  readonly view: () => ClusterView
  readonly facts: () => HostFacts
  readonly refusal: (subnet: string) => OverlayError | null
  /** Told after every change, to publish it and to look after the sandbox. */
  readonly onChange: () => void
  readonly log: Log
}

/** The containers' attachments on this host. None of this waits for the store. */
export class Endpoints {
  readonly #options: EndpointsOptions
  readonly #mutex = new KeyedMutex()

  constructor(options: EndpointsOptions) {
    this.#options = options
  }

  /**
   * Makes the cable and journals it; asked again for the same endpoint the answer is the same.
   * @throws OverlayError not_found (unknown network), bad_input, conflict, exhausted, host_state
   */
  create(wish: EndpointWish): Promise<Endpoint> {
    return this.#mutex.run(wish.id, async () => {
      const { journal, onChange } = this.#options
      const known = journal.endpoints.get(wish.id)
      if (known) return known
      await untilNamed(journal, wish.networkId, this.#options.refusal)
      const member = this.#member(wish.networkId)
      const address = wish.address ?? (await this.#chooseAddress(member))
      try {
        const endpoint = newEndpoint(wish, address, member)
        await journal.endpoints.put(endpoint.id, endpoint)
        await this.#plugIn(endpoint, member)
        onChange()
        return endpoint
      } catch (error) {
        await journal.endpoints.delete(wish.id)
        if (wish.address === null) await this.#release(member, address)
        throw error
      }
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
      if (member?.network.ipam === 'null') await this.#release(member, endpoint.address)
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
      const routes = staticRoutes(member, membersOf(journal), view(), hostId)
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
        gateway: held.gateway,
        routes,
      }
    })
  }

  /** The container is about to lose the interface. Unknown is done already. */
  leave(id: string): Promise<void> {
    return this.#mutex.run(id, async () => {
      await this.#options.journal.endpoints.update(id, (record) => ({ ...record, sandbox: null }))
    })
  }

  async #plugIn(endpoint: Endpoint, member: Member): Promise<void> {
    await addVeth({
      host: hostVethName(endpoint.id),
      container: containerVethName(endpoint.id),
      bridge: bridgeName(endpoint.networkId),
      mtu: mtuOf(member, this.#options.facts().overlayMtu),
      mac: endpoint.mac,
    })
  }

  async #chooseAddress({ held }: Member): Promise<string> {
    const ip = await this.#options.addresses.request(held.subnet, 'endpoint', null)
    return `${formatIpv4(ip)}/${held.prefixLength}`
  }

  async #release(member: Member, address: string): Promise<void> {
    await this.#options.addresses.release(member.held.subnet, parseInterfaceAddress(address).ip)
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

function newEndpoint(wish: EndpointWish, address: string, { held, network }: Member): Endpoint {
  const { ip } = parseInterfaceAddress(address)
  if (!containsIp(parseCidr(held.subnet), ip)) {
    throw new OverlayError(
      'bad_input',
      `${formatIpv4(ip)} is not in ${held.subnet}, this host's subnet of the network ${network.name ?? network.id.slice(0, 12)}`,
    )
  }
  return {
    id: wish.id,
    networkId: wish.networkId,
    address,
    mac: wish.mac === null ? macOfIpv4(ip) : parseMac(wish.mac),
    answered: { address: wish.address === null, mac: wish.mac === null },
    sandbox: null,
    joinedRoutes: [],
    joinedAt: 0,
  }
}
