import { OverlayError } from '../errors.ts'
import { ulaPool } from '../ipam/choose-subnet6.ts'
import { parseCidr, sameCidr, type Cidr } from '../net/cidr.ts'
import { formatCidr6, sameCidr6, type Cidr6 } from '../net/cidr6.ts'
import type { ClusterView, Ipv6Half, OverlayRecord } from '../store/cluster-view.ts'
import type { Keyspace } from '../store/keyspace.ts'
import { cutOff6, freePrefix6, type Claimant6 } from './free-prefix6.ts'
import type { HeldSubnet } from './journal.ts'
import { joinCommand } from './join-command.ts'
import { oneSubnetEach } from './one-subnet-each.ts'
import { overlayOfPool } from './overlays.ts'
import { ownerOf6 } from './taken6.ts'

/** An overlay's IPv6 pool, and the record that has yet to say so. */
export interface OverlayPool6 {
  readonly pool6: Cidr6
  /** null where it says so, or where there is none before its name is known. */
  readonly lacking: OverlayRecord | null
}

/**
 * The IPv6 pool of the overlay that a pooled subnet is of: the one it has, which leases alone tell as
 * long as it has no name; else the one given; else one by hash, the same on every host that asks now.
 * @param wanted `--subnet`; null takes any
 * @throws OverlayError conflict
 */
export function overlayPool6(
  view: ClusterView,
  held: HeldSubnet,
  wanted: Cidr6 | null,
  by: Claimant6,
  keys: Keyspace,
): OverlayPool6 {
  const pool4 = parseCidr(held.pool!)
  const overlay =
    held.overlay === null ? overlayOfPool(view, pool4) : view.overlays.get(held.overlay)
  const known = overlay?.pool6 ?? poolOfLeases(view, pool4)
  if (known) {
    const giveOneOr = oneSubnetEach(view, by.hostId, ({ ipv6 }) => hasPool(ipv6, known))
    refuseOtherPool(known, wanted, held, overlay, giveOneOr)
  } else if (wanted) refuseTakenPool(view, wanted, held)
  const given = known ?? wanted
  if (given) refuseHazard(view, given, by)
  return {
    pool6: given ?? freePrefix6(ulaPool, `${keys.prefix} ${held.pool}`, view, held.subnet, by),
    lacking: overlay?.pool6 === null ? overlay : null,
  }
}

const poolOfLeases = (view: ClusterView, pool4: Cidr): Cidr6 | undefined =>
  view.subnets.values().find(({ pool, ipv6 }) => ipv6?.pool && pool && sameCidr(pool, pool4))?.ipv6
    ?.pool ?? undefined

const hasPool = (half: Ipv6Half | null, pool6: Cidr6): boolean =>
  half?.pool ? sameCidr6(half.pool, pool6) : false

function refuseOtherPool(
  known: Cidr6,
  wanted: Cidr6 | null,
  { pool }: HeldSubnet,
  overlay: OverlayRecord | undefined,
  giveOneOr: string,
): void {
  if (wanted === null || sameCidr6(known, wanted)) return
  const [name, remedy] = overlay
    ? [overlay.name, `join it with: ${joinCommand(overlay, '--ipv6')}`]
    : [`of the pool ${pool}`, 'leave the IPv6 --subnet out to join it']
  throw new OverlayError(
    'conflict',
    `overlay ${name} has the IPv6 pool ${formatCidr6(known)}, not ${formatCidr6(wanted)}; ${giveOneOr}${remedy}`,
  )
}

function refuseTakenPool(view: ClusterView, wanted: Cidr6, { subnet }: HeldSubnet): void {
  const owner = ownerOf6(view, wanted, subnet)
  if (owner === null) return
  throw new OverlayError(
    'conflict',
    `the IPv6 pool ${formatCidr6(wanted)} overlaps ${owner}; choose another IPv6 --subnet, or leave it out for one that overlay-ts chooses`,
  )
}

/** A pool is routed into the tunnel as a whole, so nothing that this host needs may lie in it. */
function refuseHazard(view: ClusterView, pool6: Cidr6, by: Claimant6): void {
  const reason = cutOff6(view, pool6, by)
  if (reason === null) return
  throw new OverlayError('conflict', `${reason}; choose an IPv6 pool without it: --subnet POOL`)
}
