import { OverlayError } from '../errors.ts'
import { choosePool, lastBlock } from '../ipam/choose-pool.ts'
import { chooseSubnet } from '../ipam/choose-subnet.ts'
import { subnetLengthFor } from '../ipam/subnet-length.ts'
import { containsCidr, formatCidr, sameCidr, type Cidr } from '../net/cidr.ts'
import type { Vni } from '../net/vni.ts'
import type { Decision } from '../store/allocate.ts'
import type { ClusterConfig, ClusterView, LeaseKind, OverlayRecord } from '../store/cluster-view.ts'
import type { Keyspace } from '../store/keyspace.ts'
import { encodeHolder, encodeOverlay, encodeSubnet } from '../store/records.ts'
import type { Operation } from '../store/store.ts'
import { dockerPoolsLeft, isDefaultDockerPool } from './docker-pools.ts'
import { joinCommand } from './join-command.ts'
import { oneSubnetEach } from './one-subnet-each.ts'
import { overlayOfPool, routedOverlay } from './overlays.ts'
import { refuseOtherLengths } from './refuse-other-lengths.ts'
import type { Publisher } from './subnet-value.ts'
import type { SubnetWish } from './subnet-wish.ts'
import {
  holderOf,
  ownerOfPool,
  poolOver,
  takenPrefixes,
  takenSubnets,
  vtepInside,
} from './taken.ts'
import { refuseOtherVni, vniOfNew } from './vni-of-overlay.ts'

/** Who asks, and what this host cannot use. */
export interface Claimant extends Publisher {
  readonly poolLength: number
  /** Why dockerd would refuse the prefix here (`routeClash`), or null. */
  readonly clash: (candidate: Cidr) => string | null
  /** What inside the prefix this host must reach by its own network, or null. */
  readonly hazard: (candidate: Cidr) => string | null
  readonly random: () => number
}

/** A subnet that is this host's once the decision is committed. */
export interface GrantedSubnet {
  readonly subnet: Cidr
  readonly kind: LeaseKind
  readonly pool: Cidr | null
  readonly overlay: string | null
  readonly vni: Vni
}

/**
 * Turns a wish into the writes that grant it, from what the store holds: the overlay if it is new, the
 * subnet and its holder. Pure; the allocator's transaction makes it safe against other hosts.
 * @throws OverlayError with the sentence that the user of Docker reads
 */
export function decideSubnet(
  view: ClusterView,
  wish: SubnetWish,
  by: Claimant,
  keys: Keyspace,
): Decision<GrantedSubnet> {
  if (!view.config) {
    throw new OverlayError(
      'store_unavailable',
      'the cluster has no configuration in etcd yet; try again in a few seconds',
    )
  }
  switch (wish.kind) {
    case 'pooled':
      return decidePooled(view, view.config, wish, by, keys)
    case 'shared-pool':
      return decideSharedPool(view, view.config, wish, by, keys)
    case 'routed':
      return decideRouted(view, view.config, wish, by, keys)
    case 'docker':
      return decideDocker(view, wish, by, keys)
  }
}

function decidePooled(
  view: ClusterView,
  config: ClusterConfig,
  wish: SubnetWish & { kind: 'pooled' },
  by: Claimant,
  keys: Keyspace,
): Decision<GrantedSubnet> {
  const known = view.overlays.get(wish.overlay)
  if (known && !known.pool) {
    throw new OverlayError(
      'conflict',
      `overlay ${known.name} is routed and has no pool; join it with: ${joinCommand(known)}`,
    )
  }
  if (known?.pool && wish.pool && !sameCidr(known.pool, wish.pool)) {
    const giveOneOr = oneSubnetEach(view, by.hostId, ({ overlay }) => overlay === known.name)
    throw new OverlayError(
      'conflict',
      `overlay ${known.name} has the pool ${formatCidr(known.pool)}, not ${formatCidr(wish.pool)}; ${giveOneOr}join it with: ${joinCommand(known)}`,
    )
  }
  if (known) {
    refuseOtherVni(known, wish.vni)
    refuseOtherLengths(known, wish)
  }
  const operations: Operation[] = []
  const overlay = known ?? newPooledOverlay(view, config, wish, by, keys, operations)
  refuseHazard(view, overlay.pool!, by)
  const subnet = subnetOfPool(view, overlay.pool!, overlay.subnetLength, wish.subnet, config, by)
  return grant(
    { subnet, kind: 'pooled', pool: overlay.pool, overlay: overlay.name, vni: overlay.vni },
    by,
    keys,
    operations,
  )
}

/** A new overlay's pool: the one given, or the next free block. */
function newPooledOverlay(
  view: ClusterView,
  config: ClusterConfig,
  wish: SubnetWish & { kind: 'pooled' },
  by: Claimant,
  keys: Keyspace,
  operations: Operation[],
): Pick<OverlayRecord, 'name' | 'vni' | 'pool' | 'subnetLength'> {
  if (wish.pool) refuseTakenPool(view, config, wish.pool, by)
  const pool =
    wish.pool ??
    choosePool({
      network: config.network,
      length: wish.poolLength ?? by.poolLength,
      kept: lastBlock(config.network, by.poolLength),
      taken: takenPrefixes(view),
      clash: (candidate) => by.clash(candidate) ?? cutOff(view, candidate, by),
    })
  const overlay = {
    name: wish.overlay,
    vni: vniOfNew(view, wish.overlay, wish.vni),
    pool,
    subnetLength: subnetLengthFor(pool, wish.subnetLength ?? config.subnetLength),
    pool6: null,
  }
  operations.push({ put: keys.overlay(overlay.name), value: encodeOverlay(overlay) })
  return overlay
}

function decideSharedPool(
  view: ClusterView,
  config: ClusterConfig,
  wish: SubnetWish & { kind: 'shared-pool' },
  by: Claimant,
  keys: Keyspace,
): Decision<GrantedSubnet> {
  const owner = overlayOfPool(view, wish.pool)
  if (owner) refuseOtherLengths(owner, { ...wish, poolLength: null })
  else refuseTakenPool(view, config, wish.pool, by)
  refuseHazard(view, wish.pool, by)
  const length = owner?.subnetLength ?? wish.subnetLength
  const subnet = subnetOfPool(view, wish.pool, length, wish.subnet, config, by)
  return grant(
    {
      subnet,
      kind: 'pooled',
      pool: wish.pool,
      overlay: owner?.name ?? null,
      vni: owner?.vni ?? 0,
    },
    by,
    keys,
    [],
  )
}

function decideRouted(
  view: ClusterView,
  config: ClusterConfig,
  wish: SubnetWish & { kind: 'routed' },
  by: Claimant,
  keys: Keyspace,
): Decision<GrantedSubnet> {
  const operations: Operation[] = []
  const within = lastBlock(config.network, by.poolLength)
  const subnet = chooseSubnet({
    within,
    length: subnetLengthFor(within, wish.subnetLength ?? config.subnetLength),
    skipFirstAndLast: false,
    min: config.subnetMin,
    max: config.subnetMax,
    taken: takenPrefixes(view),
    clash: (candidate) => by.clash(candidate) ?? cutOff(view, candidate, by),
    random: by.random,
  })
  const overlay = wish.overlay
    ? routedOverlay(view, wish.overlay, keys, operations, wish.vni)
    : null
  return grant(
    { subnet, kind: 'routed', pool: null, overlay: overlay?.name ?? null, vni: overlay?.vni ?? 0 },
    by,
    keys,
    operations,
  )
}

function decideDocker(
  view: ClusterView,
  wish: SubnetWish & { kind: 'docker' },
  by: Claimant,
  keys: Keyspace,
): Decision<GrantedSubnet> {
  const operations: Operation[] = []
  const inTheWay =
    holderOf(view, wish.subnet) ?? poolOver(view, wish.subnet) ?? inside(view, wish.subnet, by)
  if (inTheWay) {
    throw new OverlayError(
      'conflict',
      `${formatCidr(wish.subnet)}, which Docker or --subnet chose, overlaps ${inTheWay}; without --subnet run the same command again (Docker then chooses another), with --subnet give another, or let overlay-ts choose: docker network create -d overlay-ts --ipam-driver overlay-ts NAME`,
    )
  }
  if (isDefaultDockerPool(wish.subnet) && dockerPoolsLeft(view) === 0) {
    throw new OverlayError(
      'exhausted',
      `the hosts of this cluster already share out as many of Docker's default subnets as is safe; let overlay-ts choose the subnet: docker network create -d overlay-ts --ipam-driver overlay-ts NAME, or set smaller default-address-pools in Docker's daemon.json`,
    )
  }
  const overlay = wish.overlay
    ? routedOverlay(view, wish.overlay, keys, operations, wish.vni)
    : null
  return grant(
    {
      subnet: wish.subnet,
      kind: 'docker',
      pool: null,
      overlay: overlay?.name ?? null,
      vni: overlay?.vni ?? 0,
    },
    by,
    keys,
    operations,
  )
}

function subnetOfPool(
  view: ClusterView,
  pool: Cidr,
  length: number | null,
  exact: Cidr | null,
  config: ClusterConfig,
  by: Claimant,
): Cidr {
  if (!exact) {
    return chooseSubnet({
      within: pool,
      length: subnetLengthFor(pool, length ?? config.subnetLength),
      skipFirstAndLast: true,
      taken: takenSubnets(view),
      clash: by.clash,
      random: by.random,
    })
  }
  const holder = holderOf(view, exact)
  const refusal = !containsCidr(pool, exact)
    ? `it is not inside the pool ${formatCidr(pool)}`
    : exact.length > 30
      ? 'it is too small: a host needs a /30 or more'
      : holder
        ? `it is held by ${holder}`
        : by.clash(exact)
  if (refusal) {
    throw new OverlayError(
      'conflict',
      `--ip-range ${formatCidr(exact)} cannot be this host's subnet: ${refusal}; choose another range, or leave it out`,
    )
  }
  return exact
}

function refuseTakenPool(view: ClusterView, config: ClusterConfig, pool: Cidr, by: Claimant): void {
  const owner = ownerOfPool(view, pool, lastBlock(config.network, by.poolLength))
  if (!owner) return
  throw new OverlayError(
    'conflict',
    `the pool ${formatCidr(pool)} overlaps ${owner}; choose another --subnet, or leave it out and name the overlay: --ipam-opt overlay=NAME`,
  )
}

/** A pool is routed into the tunnel as a whole, so nothing that this host needs may lie in it. */
function refuseHazard(view: ClusterView, pool: Cidr, by: Claimant): void {
  const reason = cutOff(view, pool, by)
  if (reason === null) return
  throw new OverlayError('conflict', `${reason}; choose a pool without it: --subnet POOL`)
}

function cutOff(view: ClusterView, prefix: Cidr, by: Claimant): string | null {
  const what = inside(view, prefix, by)
  return what && `${formatCidr(prefix)} cannot be used for containers: it contains ${what}`
}

/** Names what the underlay needs to reach and the prefix would hide, or null. */
const inside = (view: ClusterView, prefix: Cidr, by: Claimant): string | null =>
  by.hazard(prefix) ?? vtepInside(view, prefix)

function grant(
  granted: GrantedSubnet,
  by: Claimant,
  keys: Keyspace,
  operations: Operation[],
): Decision<GrantedSubnet> {
  return {
    operations: [
      ...operations,
      {
        put: keys.subnet(granted.subnet),
        value: encodeSubnet({ ...by, ...granted, ipv6: null, networkId: null }),
        lease: by.storeLease,
      },
      { put: keys.holder(granted.subnet), value: encodeHolder(by.hostId) },
    ],
    result: granted,
  }
}
