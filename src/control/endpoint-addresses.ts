import { parseInterfaceAddress } from '../net/cidr.ts'
import { parseCidr6, parseInterfaceAddress6 } from '../net/cidr6.ts'
import { formatIpv4 } from '../net/ipv4.ts'
import { formatIpv6 } from '../net/ipv6.ts'
import type { Addresses } from './addresses.ts'
import type { Addresses6 } from './addresses6.ts'
import type { Endpoint } from './journal.ts'
import type { Member } from './members.ts'

/** Addresses with their lengths, "10.33.5.2/17" and "fd0d:cafe:1:5::2/64"; null where there is none, or none yet. */
export interface AddressPair {
  readonly address: string | null
  readonly address6: string | null
}

export type ChosenAddresses = Pick<Endpoint, 'address' | 'address6'>

/**
 * The addresses of endpoints in both families: chosen where whoever asks leaves the choice to us, and
 * given back where nobody else does. A container of a network without IPv4 has an address of it all the
 * same, of which it never hears: its MAC and its record derive from that.
 */
export class EndpointAddresses {
  readonly #addresses: Addresses
  readonly #addresses6: Addresses6

  constructor(addresses: Addresses, addresses6: Addresses6) {
    this.#addresses = addresses
    this.#addresses6 = addresses6
  }

  /** Fills in what is missing. @throws OverlayError exhausted, not_found; then nothing was taken */
  async choose(wish: AddressPair, { held }: Member): Promise<ChosenAddresses> {
    const { subnet, prefixLength, ipv6 } = held
    const address =
      wish.address ??
      `${formatIpv4(await this.#addresses.request(subnet, 'endpoint', null))}/${prefixLength}`
    if (ipv6 === null || wish.address6 !== null) return { address, address6: wish.address6 }
    try {
      const ip = await this.#addresses6.request(subnet, 'endpoint', null)
      return { address, address6: `${formatIpv6(ip)}/${parseCidr6(ipv6.subnet).length}` }
    } catch (error) {
      if (wish.address === null) await this.#release(subnet, { address, address6: null })
      throw error
    }
  }

  /** Gives back what was chosen for a wish that failed. */
  async undo(wish: AddressPair, chosen: ChosenAddresses, { held }: Member): Promise<void> {
    await this.#release(held.subnet, {
      address: wish.address === null ? chosen.address : null,
      address6: wish.address6 === null ? chosen.address6 : null,
    })
  }

  /** The endpoint is gone: what Docker does not release itself is given back. */
  async forget({ address, address6 }: Endpoint, { held, network }: Member): Promise<void> {
    const isOurs = network.ipam === 'null'
    await this.#release(held.subnet, {
      address: isOurs || !network.ipv4 ? address : null,
      address6: isOurs ? address6 : null,
    })
  }

  /** Nobody told that the endpoint is gone: its addresses are free unless they are somebody else's by now. */
  async forgetUntold(endpoint: Endpoint, { held }: Member): Promise<void> {
    const { address, address6, joinedAt } = endpoint
    const { ip } = parseInterfaceAddress(address)
    await this.#addresses.releaseOld(held.subnet, ip, joinedAt)
    if (address6 === null) return
    await this.#addresses6.releaseOld(held.subnet, parseInterfaceAddress6(address6).ip, joinedAt)
  }

  async #release(subnet: string, { address, address6 }: AddressPair): Promise<void> {
    if (address !== null) await this.#addresses.release(subnet, parseInterfaceAddress(address).ip)
    if (address6 === null) return
    await this.#addresses6.release(subnet, parseInterfaceAddress6(address6).ip)
  }
}
