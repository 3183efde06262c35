import { OverlayError } from '../errors.ts'
import { chooseSubnet6, subnetLength6, ulaPool, ulaSubnet } from '../ipam/choose-subnet6.ts'
import { specialPrefix6 } from '../ipam/special-prefix6.ts'
import { parseCidr, sameCidr, type Cidr } from '../net/cidr.ts'
import { containsCidr6, formatCidr6, sameCidr6, type Cidr6 } from '../net/cidr6.ts'
import type { Decision } from '../store/allocate.ts'
import type { ClusterView, Ipv6Half, OverlayRecord } from '../store/cluster-view.ts'
import type { Keyspace } from '../store/keyspace.ts'
import { encodeOverlay } from '../store/records.ts'
import type { Operation } from '../store/store.ts'
import type { HeldSubnet } from './journal.ts'
import { joinCommand } from './join-command.ts'
import { leaseWrites } from './lease-writes.ts'
import { overlayOfPool } from './overlays.ts'
import type { Publisher } from './subnet-value.ts'
import type { Subnet6Wish } from './subnet6-wish.ts'
import {
  awaitedSubnets6,
  holderOf6,
  ownerOf6,
  subnetIndex,
  takenSubnets6,
  vtepInside6,
} from './taken6.ts'

/** Who asks, and what this host cannot use. */
export interface Claimant6 extends Publisher {
  /** What inside the prefix this host must reach by its own network, or null. */
  readonly hazard: (candidate: Cidr6) => string | null
}

/** The longest subnet of a host, with 14 addresses for containers. */
const LONGEST_RANGE = 124

/** Of prefixes made of hashes, of which the first is free in any cluster that there will ever be. */
const MOST_TRIES = 100

/**
 * Gives a held subnet its IPv6 half, in one transaction: the lease moves to the key that names both,
 * and the overlay's record says its IPv6 pool if that is new. Pure, like `decideSubnet`.
 * @throws OverlayError with the sentence that the user of Docker reads
 */
export function decideSubnet6(
  view: ClusterView,
  held: HeldSubnet,
  wish: Subnet6Wish,
  by: Claimant6,
  keys: Keyspace,
): Decision<Ipv6Half> {
  if (wish.kind === 'docker') {
    refuseDockers(view, held, wish.subnet, by)
    return grant(view, held, { subnet: wish.subnet, pool: null }, by, keys, [])
  }
  if (held.pool === null) {
    const half = { subnet: ownSubnet(view, held, wish, by, keys), pool: null }
    return grant(view, held, half, by, keys, [])
  }
  const pool4 = parseCidr(held.pool)
  const overlay = overlayOf(view, held, pool4)
  const pool = poolOf(view, held, pool4, overlay, wish, by, keys)
  const subnet = partOf(view, held, pool4, pool, wish.subnet, by)
  const isNew = overlay !== undefined && overlay.pool6 === null
  const operations = isNew
    ? [{ put: keys.overlay(overlay.name), value: encodeOverlay({ ...overlay, pool6: pool }) }]
    : []
  return grant(view, held, { subnet, pool }, by, keys, operations)
}

const overlayOf = (view: ClusterView, held: HeldSubnet, pool4: Cidr): OverlayRecord | undefined =>
  held.overlay === null ? overlayOfPool(view, pool4) : view.overlays.get(held.overlay)

/**
 * The overlay's IPv6 pool: the one it has, which leases alone tell as long as it has no name; else the
 * one given; else one by hash, the same on every host that asks at this moment.
 */
function poolOf(
  view: ClusterView,
  held: HeldSubnet,
  pool4: Cidr,
  overlay: OverlayRecord | undefined,
  wish: Subnet6Wish & { kind: 'ours' },
  by: Claimant6,
  keys: Keyspace,
): Cidr6 {
  const known = overlay?.pool6 ?? poolOfLeases(view, pool4)
  if (known) refuseOtherPool(known, wish.pool, held, overlay)
  const given = known ?? wish.pool
  if (!given) return firstFree(ulaPool, `${keys.prefix} ${held.pool}`, view, held, by)
  const owner = known ? null : ownerOf6(view, given, held.subnet)
  const reason =
    (owner && `the IPv6 pool ${formatCidr6(given)} overlaps ${owner}`) ?? cutOff(view, given, by)
  if (reason === null) return given
  throw new OverlayError(
    'conflict',
    `${reason}; choose another IPv6 --subnet, or leave it out for one that overlay-ts chooses`,
  )
}

function refuseOtherPool(
  known: Cidr6,
  wanted: Cidr6 | null,
  { pool }: HeldSubnet,
  overlay: OverlayRecord | undefined,
): void {
  if (wanted === null || sameCidr6(known, wanted)) return
  const [name, remedy] = overlay
    ? [overlay.name, `join it with: ${joinCommand(overlay, '--ipv6')}`]
    : [`of the pool ${pool}`, 'leave the IPv6 --subnet out to join it']
  throw new OverlayError(
    'conflict',
    `overlay ${name} has the IPv6 pool ${formatCidr6(known)}, not ${formatCidr6(wanted)}; ${remedy}`,
  )
}

const poolOfLeases = (view: ClusterView, pool4: Cidr): Cidr6 | undefined =>
  view.subnets.values().find(({ pool, ipv6 }) => ipv6?.pool && pool && sameCidr(pool, pool4))?.ipv6
    ?.pool ?? undefined

/** This host's part of the pool: the one asked for, else the one of its IPv4 subnet's number. */
function partOf(
  view: ClusterView,
  held: HeldSubnet,
  pool4: Cidr,
  pool: Cidr6,
  exact: Cidr6 | null,
  by: Claimant6,
): Cidr6 {
  const length = subnetLength6(pool)
  if (!exact) {
    return chooseSubnet6({
      within: pool,
      length,
      index: subnetIndex(pool4, parseCidr(held.subnet)),
      taken: [...takenSubnets6(view, held.subnet), ...awaitedSubnets6(view, pool4, pool, length)],
      clash: (candidate) => cutOff(view, candidate, by),
    })
  }
  const holder = holderOf6(view, exact, held.subnet)
  const refusal = !containsCidr6(pool, exact)
    ? `it is not inside the pool ${formatCidr6(pool)}`
    : exact.length > LONGEST_RANGE
      ? `it is too small: a host needs a /${LONGEST_RANGE} or more`
      : holder && `it is held by ${holder}`
  if (!refusal) return exact
  throw new OverlayError(
    'conflict',
    `--ip-range ${formatCidr6(exact)} cannot be this host's IPv6 subnet: ${refusal}; choose another range, or leave it out`,
  )
}

/** Without a pool: a prefix that follows from the IPv4 subnet, which is this host's alone. */
function ownSubnet(
  view: ClusterView,
  held: HeldSubnet,
  wish: Subnet6Wish & { kind: 'ours' },
  by: Claimant6,
  keys: Keyspace,
): Cidr6 {
  const given = wish.pool ?? wish.subnet
  if (given) {
    throw new OverlayError(
      'bad_input',
      `--subnet ${formatCidr6(given)} is a pool that the hosts of an overlay share, and this network has none: name the overlay with --ipam-opt overlay=NAME, or leave the IPv6 --subnet out`,
    )
  }
  return firstFree(ulaSubnet, `${keys.prefix} ${held.subnet}`, view, held, by)
}

/** The first prefix by hash that is nobody's. */
function firstFree(
  made: (seed: string) => Cidr6,
  seed: string,
  view: ClusterView,
  held: HeldSubnet,
  by: Claimant6,
): Cidr6 {
  for (let n = 0; n < MOST_TRIES; n++) {
    const candidate = made(n === 0 ? seed : `${seed} ${n}`)
    const isFree = ownerOf6(view, candidate, held.subnet) === null
    if (isFree && cutOff(view, candidate, by) === null) return candidate
  }
  throw new OverlayError(
    'exhausted',
    `none of ${MOST_TRIES} IPv6 prefixes that were tried is free; give one with --subnet, and name the overlay with --ipam-opt overlay=NAME`,
  )
}

function refuseDockers(view: ClusterView, held: HeldSubnet, subnet: Cidr6, by: Claimant6): void {
  const text = formatCidr6(subnet)
  const special = specialPrefix6(subnet)
  if (special !== null) {
    throw new OverlayError('bad_input', `${special}; give another IPv6 --subnet`)
  }
  const inTheWay = ownerOf6(view, subnet, held.subnet) ?? inside(view, subnet, by)
  if (inTheWay === null) return
  throw new OverlayError(
    'conflict',
    `the IPv6 subnet ${text}, which Docker's own address management gives this network, overlaps ${inTheWay}; every host needs an IPv6 --subnet of its own: give another, or let overlay-ts choose: docker network create -d overlay-ts --ipam-driver overlay-ts --ipv6 NAME`,
  )
}

function cutOff(view: ClusterView, prefix: Cidr6, by: Claimant6): string | null {
  const what = inside(view, prefix, by)
  return what && `${formatCidr6(prefix)} cannot be used for containers: it contains ${what}`
}

/** Names what the underlay needs to reach and the prefix would hide, or null. */
const inside = (view: ClusterView, prefix: Cidr6, by: Claimant6): string | null =>
  by.hazard(prefix) ?? vtepInside6(view, prefix)

function grant(
  view: ClusterView,
  held: HeldSubnet,
  half: Ipv6Half,
  by: Claimant6,
  keys: Keyspace,
  operations: readonly Operation[],
): Decision<Ipv6Half> {
  const ipv6 = { subnet: formatCidr6(half.subnet), pool: half.pool && formatCidr6(half.pool) }
  return {
    operations: [...operations, ...leaseWrites(view, { ...held, ipv6 }, by, keys)],
    result: half,
  }
}
