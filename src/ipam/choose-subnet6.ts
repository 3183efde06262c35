import { createHash } from 'node:crypto'
import { OverlayError } from '../errors.ts'
import { formatCidr6, type Cidr6 } from '../net/cidr6.ts'
import { firstUsable } from './first-usable.ts'
import { countSlots, type Run } from './free-slots.ts'
import { freeRuns6, slotAt6 } from './free-slots6.ts'
import { specialPrefix6 } from './special-prefix6.ts'

export interface Subnet6Wish {
  /** The overlay's IPv6 pool. */
  readonly within: Cidr6
  /** `subnetLength6` of it. */
  readonly length: number
  /** Which slot of the pool is best: that of the host's IPv4 subnet in its own pool. */
  readonly index: number
  /** Every IPv6 prefix that another holds in the cluster, of any length. */
  readonly taken: readonly Cidr6[]
  /** Why a prefix cannot be used on this host, or null. */
  readonly clash: (candidate: Cidr6) => string | null
}

/** What containers expect, and what SLAAC would need (RFC 4291 section 2.5.4). */
const USUAL = 64

/** A pool of that length or wider is cut into /64s; there are 256 of them or more. */
const WIDE = 56

const SHORTEST = 16
const LONGEST = 112

/** A host has fifteen addresses of a /124 to give. */
const SMALLEST_SUBNET = 124

/**
 * The length of the subnets cut from a pool: /64 from a /56 or wider; else 16 bits more than the pool, so that
 * a /64, which is what people give a network, gives each host a /80.
 * @throws OverlayError bad_input for a pool that is too small or too large, or no container's
 */
export function subnetLength6(pool: Cidr6): number {
  if (pool.length < SHORTEST || pool.length > LONGEST) {
    throw new OverlayError(
      'bad_input',
      `the IPv6 pool ${formatCidr6(pool)} cannot be shared by hosts; give one of a length from /${SHORTEST} to /${LONGEST}, such as /48`,
    )
  }
  const special = specialPrefix6(pool)
  if (special !== null) {
    throw new OverlayError(
      'bad_input',
      `the IPv6 pool ${special}; choose another --subnet, such as one of fd00::/8, or leave it out`,
    )
  }
  return pool.length <= WIDE ? USUAL : Math.min(pool.length + 16, SMALLEST_SUBNET)
}

/**
 * A pool of Unique Local Addresses, a /48: "fd" and 40 bits that nobody else has (RFC 4193 section 3.1). They
 * are not random but the seed's, so that two hosts which choose at once choose the same.
 */
export function ulaPool(seed: string): Cidr6 {
  return uniqueLocal(seed, 48)
}

/** The same for one subnet outside any pool: a /64, with a subnet identifier of the seed's too. */
export function ulaSubnet(seed: string): Cidr6 {
  return uniqueLocal(seed, USUAL)
}

function uniqueLocal(seed: string, length: number): Cidr6 {
  const bytes = createHash('sha256')
    .update(seed)
    .digest()
    .subarray(0, length / 8 - 1)
  return { address: BigInt(`0xfd${bytes.toString('hex')}`) << BigInt(128 - length), length }
}

/**
 * The IPv6 subnet to lease beside an IPv4 one: the slot of the same number, so that the two are read as one,
 * else the next that is free. The first of a pool is nobody's.
 * @throws OverlayError exhausted (none free), conflict (all clash on this host)
 */
export function chooseSubnet6(wish: Subnet6Wish): Cidr6 {
  const { within, length, index, taken, clash } = wish
  const last = 2 ** (length - within.length) - 1
  const range = { from: Math.min(1, last), to: last }
  const free = freeRuns6(within, length, range, taken)
  const count = countSlots(free)
  if (count === 0) {
    const all = countSlots([range])
    throw new OverlayError(
      'exhausted',
      `${formatCidr6(within)} has no free /${length} subnet: ${all} of ${all} are taken; an overlay made with a shorter IPv6 --subnet has room for more hosts`,
    )
  }
  const start = countBelow(free, index % (last + 1))
  return firstUsable({ within, length, slotAt: slotAt6, free, start, clash, noun: 'subnet' })
}

/** How many free slots lie before that one. */
function countBelow(free: readonly Run[], slot: number): number {
  return countSlots(
    free
      .filter(({ from }) => from < slot)
      .map(({ from, to }) => ({ from, to: Math.min(to, slot - 1) })),
  )
}
