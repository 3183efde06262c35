import type { Controller } from '../src/control/controller.ts'
import type { HeldSubnet } from '../src/control/journal.ts'
import type { SubnetWish } from '../src/control/subnet-wish.ts'
import { messageOf, OverlayError } from '../src/errors.ts'
import { parseCidr, type Cidr } from '../src/net/cidr.ts'
import { formatIpv4, parseIpv4 } from '../src/net/ipv4.ts'
import type { IpamDriver } from './drivers.ts'
import { GATEWAY_ADDRESS, REQUEST_ADDRESS_TYPE, type RequestPoolRequest } from './ipam-messages.ts'
import { readIpamOptions, refuseUnknownOptions } from './options.ts'

/**
 * One name for both address spaces: from Docker 27 on, dockerd then trusts the pools we answer
 * (moby libnetwork/ipams/remote). It also tells our subnets from Docker's in CreateNetwork.
 */
export const ADDRESS_SPACE = 'overlay-ts'

/** A pool's identity is its subnet, since the subnets of a cluster are disjoint. */
const POOL_ID = 'overlay-ts:'

/** What of the overlay network the driver speaks with. */
type IpamSide = Pick<Controller, 'journal' | 'subnets' | 'addresses'> & {
  readonly rebuild: Pick<Controller['rebuild'], 'untilSubnet'>
}

/** Docker's address management in terms of leased subnets: `--ipam-driver overlay-ts`. */
export function createIpamDriver({ journal, subnets, addresses, rebuild }: IpamSide): IpamDriver {
  return {
    getCapabilities: async () => ({ RequiresMACAddress: false, RequiresRequestReplay: false }),

    getDefaultAddressSpaces: async () => ({
      LocalDefaultAddressSpace: ADDRESS_SPACE,
      GlobalDefaultAddressSpace: ADDRESS_SPACE,
    }),

    async requestPool(request) {
      const held = await subnets.lease(wishOf(request), null)
      return {
        PoolID: `${POOL_ID}${held.subnet}`,
        Pool: held.subnet,
        Data: { [GATEWAY_ADDRESS]: `${held.gateway}/${parseCidr(held.subnet).length}` },
      }
    },

    /** dockerd releases a network's pool before it deletes the network, with which the subnet then goes. */
    async releasePool({ PoolID }) {
      const held = heldOf(PoolID)
      if (held) await subnets.giveBackUnused(held.subnet)
    },

    async requestAddress({ PoolID, Address, Options }) {
      if (PoolID.startsWith(POOL_ID) && !heldOf(PoolID)) {
        await rebuild.untilSubnet(PoolID.slice(POOL_ID.length))
      }
      const held = heldOf(PoolID)
      if (!held) {
        throw new OverlayError(
          'not_found',
          `this host does not hold the pool ${PoolID}; remove the network and create it again`,
        )
      }
      const wanted = Address === '' ? null : parseIpv4(Address)
      if (Options[REQUEST_ADDRESS_TYPE] === GATEWAY_ADDRESS) {
        if (wanted !== null) await addresses.moveGateway(held.subnet, wanted)
        const { gateway } = journal.subnets.get(held.subnet) ?? held
        return { Address: `${gateway}/${held.prefixLength}` }
      }
      // Before the network exists Docker asks for nothing but --aux-address.
      const purpose = held.networkId === null ? 'reserved' : 'endpoint'
      const ip = await addresses.request(held.subnet, purpose, wanted)
      return { Address: `${formatIpv4(ip)}/${held.prefixLength}` }
    },

    async releaseAddress({ PoolID, Address }) {
      const held = heldOf(PoolID)
      if (held && Address !== '') await addresses.release(held.subnet, parseIpv4(Address))
    },
  }

  function heldOf(poolId: string): HeldSubnet | undefined {
    return poolId.startsWith(POOL_ID)
      ? journal.subnets.get(poolId.slice(POOL_ID.length))
      : undefined
  }
}

/** What the flags of `docker network create --ipam-driver overlay-ts` ask for. */
function wishOf({ Pool, SubPool, Options, V6 }: RequestPoolRequest): SubnetWish {
  if (V6) {
    throw new OverlayError(
      'unsupported',
      'IPv6 networks are not supported by overlay-ts yet: leave --ipv6 and IPv6 subnets out',
    )
  }
  refuseUnknownOptions('--ipam-opt', Options)
  const { overlay, vni, poolLength, subnetLength } = readIpamOptions(Options)
  const pool = Pool === '' ? null : cidrOf('--subnet', Pool)
  const subnet = SubPool === '' ? null : cidrOf('--ip-range', SubPool)
  if (overlay !== null) {
    return { kind: 'pooled', overlay, vni, pool, poolLength, subnetLength, subnet }
  }
  refuseWithoutOverlay('vni', vni)
  refuseWithoutOverlay('pool-len', poolLength)
  if (pool !== null) return { kind: 'shared-pool', pool, subnetLength, subnet }
  return { kind: 'routed', overlay: null, vni: null, subnetLength }
}

/** What belongs to an overlay can be chosen only where the overlay is named. */
function refuseWithoutOverlay(option: string, value: number | null): void {
  if (value === null) return
  throw new OverlayError(
    'bad_input',
    `--ipam-opt ${option}=${value} needs the name of the overlay that it is for: add --ipam-opt overlay=NAME`,
  )
}

function cidrOf(flag: string, text: string): Cidr {
  try {
    return parseCidr(text)
  } catch (cause) {
    throw new OverlayError('bad_input', `${flag}: ${messageOf(cause)}`, { cause })
  }
}
