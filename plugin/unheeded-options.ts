import { messageOf, OverlayError } from '../src/errors.ts'
import type { Log } from '../src/log.ts'

/** A network of ours as Docker has it, as far as its IPAM goes. */
export interface NetworkIpam {
  readonly name: string
  /** "default" and "null" are Docker's own. */
  readonly driver: string
  /** What stands behind `--ipam-opt`. */
  readonly options: Readonly<Record<string, string>>
}

const DOCKERS_OWN = ['default', 'null']

export interface UnheededOptionsParts {
  /** null: Docker has no such network (any more). @throws when Docker cannot be asked now */
  readonly ipamOf: (networkId: string) => Promise<NetworkIpam | null>
  readonly log: Log
}

/**
 * Networks made with `--ipam-opt` and without `--ipam-driver overlay-ts`. Docker's own IPAM takes any
 * option and heeds none (moby daemon/libnetwork/ipams/defaultipam, RequestPool), and CreateNetwork does not
 * tell of them: the network is there before this program learns what was meant. Its containers are refused
 * then, so that nobody takes it for the overlay that was asked for.
 */
export class UnheededOptions {
  readonly #parts: UnheededOptionsParts
  readonly #refusals = new Map<string, OverlayError>()

  constructor(parts: UnheededOptionsParts) {
    this.#parts = parts
  }

  /** Asks Docker about a network that it has told of. */
  async look(networkId: string): Promise<void> {
    const { ipamOf, log } = this.#parts
    try {
      const ipam = await ipamOf(networkId)
      const written = Object.entries(ipam?.options ?? {}).map(
        ([key, value]) => `--ipam-opt ${key}=${value}`,
      )
      if (ipam === null || !DOCKERS_OWN.includes(ipam.driver) || written.length === 0) return
      const refusal = new OverlayError(
        'bad_input',
        `the network ${ipam.name} was made with ${written.join(' ')}, which nothing heeds without --ipam-driver overlay-ts; remove the network, and make it again with that driver or without --ipam-opt`,
      )
      this.#refusals.set(networkId, refusal)
      log.warn({ network: networkId }, refusal.message)
    } catch (error) {
      const reason = messageOf(error)
      log.debug({ network: networkId, reason }, 'the IPAM options of a network are not known')
    }
  }

  forget(networkId: string): void {
    this.#refusals.delete(networkId)
  }

  /** @throws OverlayError bad_input if options were given to this network that nothing heeds */
  refuse(networkId: string): void {
    const refusal = this.#refusals.get(networkId)
    if (refusal) throw refusal
  }
}
