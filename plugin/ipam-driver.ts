import type { Controller } from '../src/control/controller.ts'
import { heldWith } from '../src/control/held-with.ts'
import type { HeldSubnet, HeldSubnet6 } from '../src/control/journal.ts'
import { OverlayError } from '../src/errors.ts'
import { parseCidr } from '../src/net/cidr.ts'
import { parseCidr6 } from '../src/net/cidr6.ts'
import { formatIpv4, parseIpv4 } from '../src/net/ipv4.ts'
import { formatIpv6, parseIpv6 } from '../src/net/ipv6.ts'
import type { IpamDriver } from './drivers.ts'
import {
  GATEWAY_ADDRESS,
  REQUEST_ADDRESS_TYPE,
  type RequestAddressRequest,
  type RequestPoolResponse,
} from './ipam-messages.ts'
import { subnet6Wish, subnetWish } from './pool-wishes.ts'

/**
 * One name for both address spaces: from Docker 27 on, dockerd then trusts the pools we answer
 * (moby libnetwork/ipams/remote). It also tells our subnets from Docker's in CreateNetwork.
 */
export const ADDRESS_SPACE = 'overlay-ts'

/** A pool's identity is its subnet, since the subnets of a cluster are disjoint, those of either family. */
const POOL_ID = 'overlay-ts:'

/** What of the overlay network the driver speaks with. */
type IpamSide = Pick<Controller, 'journal' | 'subnets' | 'addresses' | 'addresses6'> & {
  readonly rebuild: Pick<Controller['rebuild'], 'untilSubnet'>
}

/** Docker's address management in terms of leased subnets: `--ipam-driver overlay-ts`. */
export function createIpamDriver(side: IpamSide): IpamDriver {
  const { journal, subnets, addresses, addresses6, rebuild } = side
  return {
    getCapabilities: async () => ({ RequiresMACAddress: false, RequiresRequestReplay: false }),

    getDefaultAddressSpaces: async () => ({
      LocalDefaultAddressSpace: ADDRESS_SPACE,
      GlobalDefaultAddressSpace: ADDRESS_SPACE,
    }),

    async requestPool(request) {
      if (!request.V6) {
        const { subnet, gateway } = await subnets.lease(subnetWish(request), null)
        return answer(subnet, `${gateway}/${parseCidr(subnet).length}`)
      }
      const { ipv4, ipv6 } = subnet6Wish(request)
      const { subnet, gateway } = (await subnets.lease6(ipv4, ipv6)).ipv6!
      return answer(subnet, `${gateway}/${parseCidr6(subnet).length}`)
    },

    /** dockerd releases a network's pools before it deletes the network, with which the subnet then goes. */
    async releasePool({ PoolID }) {
      const pool = poolOf(PoolID)
      if (pool?.half) await subnets.giveBackHalf(pool.held.subnet)
      else if (pool) await subnets.giveBackUnused(pool.held.subnet)
    },

    async requestAddress(request) {
      const { PoolID } = request
      if (PoolID.startsWith(POOL_ID) && !poolOf(PoolID)) {
        await rebuild.untilSubnet(PoolID.slice(POOL_ID.length))
      }
      const pool = poolOf(PoolID)
      if (!pool) {
        throw new OverlayError(
          'not_found',
          `this host does not hold the pool ${PoolID}; remove the network and create it again`,
        )
      }
      const { held, half } = pool
      return { Address: half ? await address6(held, half, request) : await address4(held, request) }
    },

    async releaseAddress({ PoolID, Address }) {
      const pool = poolOf(PoolID)
      if (!pool || Address === '') return
      const { subnet } = pool.held
      if (pool.half) await addresses6.release(subnet, parseIpv6(Address))
      else await addresses.release(subnet, parseIpv4(Address))
    },
  }

  function poolOf(poolId: string): { held: HeldSubnet; half: HeldSubnet6 | null } | null {
    if (!poolId.startsWith(POOL_ID)) return null
    const subnet = poolId.slice(POOL_ID.length)
    const held = heldWith(journal, subnet)
    return held ? { held, half: held.subnet === subnet ? null : held.ipv6 } : null
  }

  async function address4(
    held: HeldSubnet,
    { Address, Options }: RequestAddressRequest,
  ): Promise<string> {
    const wanted = Address === '' ? null : parseIpv4(Address)
    if (Options[REQUEST_ADDRESS_TYPE] === GATEWAY_ADDRESS) {
      if (wanted !== null) await addresses.moveGateway(held.subnet, wanted)
      const { gateway } = journal.subnets.get(held.subnet) ?? held
      return `${gateway}/${held.prefixLength}`
    }
    const ip = await addresses.request(held.subnet, purposeOf(held), wanted)
    return `${formatIpv4(ip)}/${held.prefixLength}`
  }

  async function address6(
    held: HeldSubnet,
    half: HeldSubnet6,
    { Address, Options }: RequestAddressRequest,
  ): Promise<string> {
    const wanted = Address === '' ? null : parseIpv6(Address)
    const { length } = parseCidr6(half.subnet)
    if (Options[REQUEST_ADDRESS_TYPE] === GATEWAY_ADDRESS) {
      if (wanted !== null) await addresses6.moveGateway(held.subnet, wanted)
      const { gateway } = journal.subnets.get(held.subnet)?.ipv6 ?? half
      return `${gateway}/${length}`
    }
    const ip = await addresses6.request(held.subnet, purposeOf(held), wanted)
    return `${formatIpv6(ip)}/${length}`
  }
}

/** Before the network exists Docker asks for nothing but --aux-address. */
const purposeOf = ({ networkId }: HeldSubnet): 'reserved' | 'endpoint' =>
  networkId === null ? 'reserved' : 'endpoint'

const answer = (subnet: string, gateway: string): RequestPoolResponse => ({
  PoolID: `${POOL_ID}${subnet}`,
  Pool: subnet,
  Data: { [GATEWAY_ADDRESS]: gateway },
})
