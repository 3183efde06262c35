import { OverlayError } from '../errors.ts'
import type { Log } from '../log.ts'
import { messageOf } from '../errors.ts'
import { MIN_OVERLAY_MTU } from '../net/mtu.ts'
import type { HostFacts } from './host-facts.ts'
import type { HeldSubnet, Journal, Network } from './journal.ts'
import { KeyedMutex } from './keyed-mutex.ts'
import type { Reconciler } from './reconciler.ts'
import type { Subnets } from './subnets.ts'
import { endpointsOf } from './journal.ts'

/** A network as its driver asks for it; the subnet is held already. */
export interface NetworkWish {
  readonly id: string
  readonly ipam: Network['ipam']
  readonly internal: boolean
  readonly mtu: number | null
}

export interface NetworksOptions {
  readonly journal: Journal
  readonly subnets: Subnets
  readonly reconciler: Reconciler
  readonly facts: () => HostFacts
  readonly log: Log
}

/** The Docker networks of this host. */
export class Networks {
  readonly #options: NetworksOptions
  readonly #mutex = new KeyedMutex()

  constructor(options: NetworksOptions) {
    this.#options = options
  }

  /**
   * Makes a network: journal, then bridge, routes and rules. `lease` gives the subnet, which goes
   * back if anything fails. Asked again for the same network, nothing happens.
   */
  create(wish: NetworkWish, lease: () => Promise<HeldSubnet>): Promise<void> {
    return this.#mutex.run(wish.id, async () => {
      const { journal, subnets, reconciler, facts, log } = this.#options
      if (journal.networks.get(wish.id)) return
      refuseMtu(wish.mtu, facts().overlayMtu)
      const held = await lease()
      try {
        const bound = await journal.subnets.update(held.subnet, (mine) => bind(mine, wish.id))
        if (!bound) throw unknownSubnet(held.subnet)
        await journal.networks.put(wish.id, { ...wish, subnet: held.subnet, name: null })
        await reconciler.run()
      } catch (error) {
        log.warn({ network: wish.id, reason: messageOf(error) }, 'network not created')
        await journal.networks.delete(wish.id)
        if (journal.subnets.get(held.subnet)?.networkId === wish.id) {
          await subnets.giveBack(held.subnet)
        }
        await reconciler.attempt()
        throw error
      }
      log.info({ network: wish.id, subnet: held.subnet, overlay: held.overlay }, 'network created')
    })
  }

  /** Removes a network, what is left of its endpoints, and its subnet. Unknown is done already. */
  delete(id: string): Promise<void> {
    return this.#mutex.run(id, async () => {
      const { journal, subnets, reconciler, log } = this.#options
      const network = journal.networks.get(id)
      if (!network) return
      for (const endpoint of endpointsOf(journal, id)) await journal.endpoints.delete(endpoint.id)
      await journal.networks.delete(id)
      await subnets.giveBack(network.subnet)
      await reconciler.run()
      log.info({ network: id, subnet: network.subnet }, 'network removed')
    })
  }

  /** dockerd's event stream told the name that libnetwork keeps to itself. */
  async learnName(id: string, name: string): Promise<void> {
    const { journal, subnets, reconciler } = this.#options
    const network = await journal.networks.update(id, (record) =>
      record.name === name ? record : { ...record, name },
    )
    if (!network) return
    await subnets.name(network.subnet, name)
    await reconciler.attempt()
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

  /** Networks whose name is still to be learned. */
  nameless(): string[] {
    const { journal } = this.#options
    return journal.networks
      .values()
      .filter(({ name, subnet }) => name === null && journal.subnets.get(subnet)?.overlay === null)
      .map(({ id }) => id)
  }
}

function bind(held: HeldSubnet, networkId: string): HeldSubnet {
  if (held.networkId !== null && held.networkId !== networkId) {
    throw new OverlayError(
      'conflict',
      `the subnet ${held.subnet} belongs to the network ${held.networkId.slice(0, 12)} already`,
    )
  }
  return { ...held, networkId }
}

const unknownSubnet = (subnet: string): OverlayError =>
  new OverlayError(
    'not_found',
    `this host does not hold the subnet ${subnet} (any more); create the network again`,
  )

function refuseMtu(mtu: number | null, most: number): void {
  if (mtu === null || (mtu >= MIN_OVERLAY_MTU && mtu <= most)) return
  throw new OverlayError(
    'bad_input',
    `-o mtu=${mtu} is not possible: the network between the hosts carries ${MIN_OVERLAY_MTU} to ${most} bytes of a container's packet; leave it out for ${most}`,
  )
}
