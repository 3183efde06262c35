import { messageOf, OverlayError } from '../errors.ts'
import type { Log } from '../log.ts'
import { MIN_OVERLAY_MTU } from '../net/mtu.ts'
import type { HostFacts } from './host-facts.ts'
import { ipv6Obstacle } from './ipv6-obstacle.ts'
import { endpointsOf, type HeldSubnet, type Journal, type Network } from './journal.ts'
import { KeyedMutex } from './keyed-mutex.ts'
import type { Reconciler } from './reconciler.ts'
import type { Subnets } from './subnets.ts'

/** A network as its driver asks for it; the subnet is held already. */
export interface NetworkWish {
  readonly id: string
  readonly ipam: Network['ipam']
  readonly internal: boolean
  /** True unless Docker was asked for IPv6 alone. */
  readonly ipv4?: boolean
  readonly ipv6?: boolean
  readonly mtu: number | null
  readonly egress: Network['egress']
}

export interface NetworksOptions {
  readonly journal: Journal
  readonly subnets: Subnets
  readonly reconciler: Pick<Reconciler, 'run' | 'attempt'>
  readonly facts: () => HostFacts
  /** Told when a subnet has got its network, to publish whose it is. */
  readonly onCreated: () => void
  readonly log: Log
}

/** The Docker networks of this host. */
export class Networks {
  readonly #options: NetworksOptions
  readonly #mutex = new KeyedMutex()
  /** Networks that this process removed: whoever still lists one has it on an old list. */
  readonly #removed = new Set<string>()

  constructor(options: NetworksOptions) {
    this.#options = options
  }

  /**
   * Makes a network: journal, then bridge, routes and rules. `lease` gives the subnet, which goes
   * back if anything fails. Asked again for the same network, nothing happens.
   */
  create(wish: NetworkWish, lease: () => Promise<HeldSubnet>): Promise<void> {
    return this.#mutex.run(wish.id, async () => {
      const { journal, subnets, reconciler, facts, onCreated, log } = this.#options
      if (journal.networks.get(wish.id)) return
      this.#removed.delete(wish.id)
      refuseMtu(wish, facts())
      const held = await lease()
      refuseOtherNetwork(held, wish.id)
      try {
        // First, so that the subnet is never without a network once it has waited long for one.
        const { id, ipam, internal, ipv4 = true, mtu, egress } = wish
        await journal.networks.put(id, {
          id,
          subnet: held.subnet,
          ipam,
          internal,
          ipv4,
          mtu,
          egress,
          name: null,
          bridgeMac: null,
        })
        const bound = await journal.subnets.update(held.subnet, (mine) => ({
          ...mine,
          networkId: wish.id,
          // What another network was given meanwhile is not this one's.
          ipv6: wish.ipv6 ? mine.ipv6 : null,
        }))
        if (!bound) throw unknownSubnet(held.subnet)
        await reconciler.run()
      } catch (error) {
        log.warn({ network: wish.id, reason: messageOf(error) }, 'network not created')
        await journal.networks.delete(wish.id)
        await reconciler.attempt()
        await subnets.giveBackUnused(held.subnet)
        throw error
      }
      // A subnet without an overlay is written once more anyway, with the overlay.
      if (held.overlay !== null) onCreated()
      log.info({ network: wish.id, subnet: held.subnet, overlay: held.overlay }, 'network created')
    })
  }

  /** Whether this process removed the network. */
  wasRemoved(id: string): boolean {
    return this.#removed.has(id)
  }

  /**
   * Journals a network that was found again, with its subnet. What the journal has of it stays as it is. The
   * host is brought to it by the caller, once all are found: rules made for some would shut out the others.
   */
  adopt(network: Network, held: HeldSubnet): Promise<void> {
    return this.#mutex.run(network.id, async () => {
      const { journal } = this.#options
      if (this.#removed.has(network.id)) return
      const kept = journal.networks.get(network.id) ?? network
      const bridgeMac = kept.bridgeMac ?? network.bridgeMac
      await journal.networks.put(network.id, { ...kept, bridgeMac })
      if (!journal.subnets.get(held.subnet)) await journal.subnets.put(held.subnet, held)
    })
  }

  /** Removes a network, what is left of its endpoints, and its subnet. Unknown is done already. */
  delete(id: string): Promise<void> {
    return this.#mutex.run(id, async () => {
      const { journal, subnets, reconciler, log } = this.#options
      this.#removed.add(id)
      const network = journal.networks.get(id)
      if (!network) return
      for (const endpoint of endpointsOf(journal, id)) await journal.endpoints.delete(endpoint.id)
      await journal.networks.delete(id)
      // The bridge goes before the subnet is another's; if it cannot, it is tried again.
      await reconciler.attempt()
      await subnets.giveBackUnused(network.subnet)
      log.info({ network: id, subnet: network.subnet }, 'network removed')
    })
  }

  /** dockerd's event stream told the name that libnetwork keeps to itself. */
  async learnName(id: string, name: string): Promise<void> {
    const { journal, subnets, reconciler, log } = this.#options
    try {
      const network = await journal.networks.update(id, (record) =>
        record.name === name ? record : { ...record, name },
      )
      if (!network) return
      await subnets.name(network.subnet, name)
      await reconciler.attempt()
    } catch (error) {
      log.error({ network: id, reason: messageOf(error) }, 'cannot keep the name of a network')
    }
  }

  /** Tries again what etcd was away for, or what stood in the way before. */
  async nameAll(): Promise<void> {
    const { journal, subnets, reconciler } = this.#options
    let named = false
    for (const { name, subnet } of journal.networks.values()) {
      if (name === null || journal.subnets.get(subnet)?.overlay !== null) continue
      await subnets.name(subnet, name)
      named ||= journal.subnets.get(subnet)?.overlay !== null
    }
    if (named) await reconciler.attempt()
  }
}

function refuseOtherNetwork({ subnet, networkId }: HeldSubnet, id: string): void {
  if (networkId === null || networkId === id) return
  throw new OverlayError(
    'conflict',
    `the subnet ${subnet} belongs to the network ${networkId.slice(0, 12)} already; leave --subnet out, or remove that network`,
  )
}

const unknownSubnet = (subnet: string): OverlayError =>
  new OverlayError(
    'not_found',
    `this host does not hold the subnet ${subnet} (any more); create the network again`,
  )

function refuseMtu({ mtu, ipv6 = false }: NetworkWish, facts: HostFacts): void {
  const { overlayMtu: most } = facts
  const obstacle = ipv6 ? ipv6Obstacle({ mtu }, facts) : null
  if (obstacle !== null) {
    throw new OverlayError(
      'bad_input',
      `${obstacle.reason}; ${obstacle.remedy}, or leave --ipv6 out`,
    )
  }
  if (mtu === null || (mtu >= MIN_OVERLAY_MTU && mtu <= most)) return
  throw new OverlayError(
    'bad_input',
    `-o mtu=${mtu} is not possible: the network between the hosts carries ${MIN_OVERLAY_MTU} to ${most} bytes of a container's packet; leave it out for ${most}`,
  )
}
