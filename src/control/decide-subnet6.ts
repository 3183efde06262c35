import { OverlayError } from '../errors.ts'
import { chooseSubnet6, subnetLength6, ulaSubnet } from '../ipam/choose-subnet6.ts'
import { specialPrefix6 } from '../ipam/special-prefix6.ts'
import { formatCidr, parseCidr } from '../net/cidr.ts'
import { containsCidr6, formatCidr6, type Cidr6 } from '../net/cidr6.ts'
import type { Decision } from '../store/allocate.ts'
import type { ClusterView, Ipv6Half } from '../store/cluster-view.ts'
import type { Keyspace } from '../store/keyspace.ts'
import { encodeOverlay } from '../store/records.ts'
import type { Operation } from '../store/store.ts'
import { foreignHolder } from './foreign-holder.ts'
import { cutOff6, freePrefix6, neededInside6, type Claimant6 } from './free-prefix6.ts'
import type { HeldSubnet } from './journal.ts'
import { leaseWrites } from './lease-writes.ts'
import { oneSubnetEach } from './one-subnet-each.ts'
import { overlayPool6 } from './overlay-pool6.ts'
import type { Subnet6Wish } from './subnet6-wish.ts'
import { hostName } from './taken.ts'
import { awaitedSubnets6, holderOf6, ownerOf6, subnetIndex, takenSubnets6 } from './taken6.ts'

/** The longest subnet of a host, with 14 addresses for containers. */
const LONGEST_RANGE = 124

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
  const holder = foreignHolder(view, held, by.hostId)
  if (holder !== null) {
    throw new OverlayError(
      'conflict',
      `the subnet ${held.subnet} belongs to host ${hostName(view, holder)} by now; run the command again`,
    )
  }
  refuseBesideFlannel(view)
  if (wish.kind === 'docker') {
    refuseDockers(view, held, wish.subnet, by)
    return grant(view, held, { subnet: wish.subnet, pool: null }, by, keys, [])
  }
  if (held.pool === null) {
    refusePool(view, wish.pool ?? wish.subnet, by)
    const subnet = freePrefix6(ulaSubnet, `${keys.prefix} ${held.subnet}`, view, held.subnet, by)
    return grant(view, held, { subnet, pool: null }, by, keys, [])
  }
  const { pool6, lacking } = overlayPool6(view, held, wish.pool, by, keys)
  const subnet = partOf(view, held, pool6, wish.subnet, by)
  const operations = lacking
    ? [{ put: lacking.key, value: encodeOverlay({ ...lacking, pool6 }) }]
    : []
  return grant(view, held, { subnet, pool: pool6 }, by, keys, operations)
}

/**
 * A flannel host that runs without IPv6 ends at a key of both families (its pkg/backend/vxlan
 * handleSubnetEvents: the device for the second one is missing), and at every start again.
 */
function refuseBesideFlannel(view: ClusterView): void {
  const foreign = view.subnets.values().find(({ hostId }) => hostId === null)
  if (!foreign) return
  throw new OverlayError(
    'unsupported',
    `--ipv6 is not possible in an etcd prefix that is shared with flannel hosts, whose flannel would end at it (${formatCidr(foreign.subnet)} is one's); leave --ipv6 out, or give overlay-ts an ETCD_PREFIX of its own`,
  )
}

/** This host's part of the pool: the one asked for, else the one of its IPv4 subnet's number. */
function partOf(
  view: ClusterView,
  held: HeldSubnet,
  pool6: Cidr6,
  exact: Cidr6 | null,
  by: Claimant6,
): Cidr6 {
  const length = subnetLength6(pool6)
  if (exact) {
    refuseRange(view, held, pool6, exact)
    return exact
  }
  const pool4 = parseCidr(held.pool!)
  return chooseSubnet6({
    within: pool6,
    length,
    index: subnetIndex(pool4, parseCidr(held.subnet)),
    taken: [...takenSubnets6(view, held.subnet), ...awaitedSubnets6(view, pool4, pool6, length)],
    clash: (candidate) => cutOff6(view, candidate, by),
  })
}

function refuseRange(view: ClusterView, held: HeldSubnet, pool6: Cidr6, exact: Cidr6): void {
  const holder = holderOf6(view, exact, held.subnet)
  const refusal = !containsCidr6(pool6, exact)
    ? `it is not inside the pool ${formatCidr6(pool6)}`
    : exact.length > LONGEST_RANGE
      ? `it is too small: a host needs a /${LONGEST_RANGE} or more`
      : holder && `it is held by ${holder}`
  if (refusal === null) return
  throw new OverlayError(
    'conflict',
    `--ip-range ${formatCidr6(exact)} cannot be this host's IPv6 subnet: ${refusal}; choose another range, or leave it out`,
  )
}

/** Without a pool the prefix follows from the IPv4 subnet, which is this host's alone. */
function refusePool(view: ClusterView, given: Cidr6 | null, by: Claimant6): void {
  if (given === null) return
  const giveOneOr = oneSubnetEach(view, by.hostId, ({ ipv6 }) => ipv6?.pool != null)
  throw new OverlayError(
    'bad_input',
    `--subnet ${formatCidr6(given)} is a pool that the hosts of an overlay share, and this network has none; ${giveOneOr}name the overlay with --ipam-opt overlay=NAME, or leave the IPv6 --subnet out`,
  )
}

function refuseDockers(view: ClusterView, held: HeldSubnet, subnet: Cidr6, by: Claimant6): void {
  const special = specialPrefix6(subnet)
  if (special !== null) {
    throw new OverlayError('bad_input', `the IPv6 subnet ${special}; give another with --subnet`)
  }
  const inTheWay = ownerOf6(view, subnet, held.subnet) ?? neededInside6(view, subnet, by)
  if (inTheWay === null) return
  throw new OverlayError(
    'conflict',
    `the IPv6 subnet ${formatCidr6(subnet)}, which Docker's own address management gives this network, overlaps ${inTheWay}, and every host needs one of its own; give another with --subnet, or let overlay-ts choose: docker network create -d overlay-ts --ipam-driver overlay-ts --ipv6 NAME`,
  )
}

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
