import type { SubnetWish } from '../src/control/subnet-wish.ts'
import type { Subnet6Wish } from '../src/control/subnet6-wish.ts'
import { messageOf, OverlayError } from '../src/errors.ts'
import { parseCidr } from '../src/net/cidr.ts'
import { parseCidr6 } from '../src/net/cidr6.ts'
import type { RequestPoolRequest } from './ipam-messages.ts'
import { readIpamOptions, refuseUnknownOptions } from './options.ts'

/** What the flags of `docker network create --ipam-driver overlay-ts` ask for. @throws OverlayError bad_input */
export function subnetWish({ Pool, SubPool, Options }: RequestPoolRequest): SubnetWish {
  refuseUnknownOptions('--ipam-opt', Options)
  const { overlay, vni, poolLength, subnetLength } = readIpamOptions(Options)
  const pool = Pool === '' ? null : parsed('--subnet', Pool, parseCidr)
  const subnet = SubPool === '' ? null : parsed('--ip-range', SubPool, parseCidr)
  if (overlay !== null) {
    return { kind: 'pooled', overlay, vni, pool, poolLength, subnetLength, subnet }
  }
  refuseWithoutOverlay('vni', vni)
  refuseWithoutOverlay('pool-len', poolLength)
  if (pool !== null) return { kind: 'shared-pool', pool, subnetLength, subnet }
  return { kind: 'routed', overlay: null, vni: null, subnetLength }
}

/**
 * The same of the request for the IPv6 pool. Docker sends the options with both, and the IPv4 prefixes
 * with the other one.
 * @returns beside the wish itself that of an IPv4 subnet for a network that has none for Docker
 */
export function subnet6Wish(request: RequestPoolRequest): { ipv4: SubnetWish; ipv6: Subnet6Wish } {
  const { Pool, SubPool } = request
  const ipv4 = subnetWish({ ...request, Pool: '', SubPool: '' })
  const pool = Pool === '' ? null : parsed('--subnet', Pool, parseCidr6)
  const subnet = SubPool === '' ? null : parsed('--ip-range', SubPool, parseCidr6)
  return { ipv4, ipv6: { kind: 'ours', pool, subnet } }
}

/** What belongs to an overlay can be chosen only where the overlay is named. */
function refuseWithoutOverlay(option: string, value: number | null): void {
  if (value === null) return
  throw new OverlayError(
    'bad_input',
    `--ipam-opt ${option}=${value} needs the name of the overlay that it is for: add --ipam-opt overlay=NAME`,
  )
}

function parsed<T>(flag: string, text: string, parse: (text: string) => T): T {
  try {
    return parse(text)
  } catch (cause) {
    throw new OverlayError('bad_input', `${flag}: ${messageOf(cause)}`, { cause })
  }
}
