import { formatCidr } from '../net/cidr.ts'
import { formatIp } from '../net/ipv6.ts'
import type { Decision } from '../store/allocate.ts'
import type { ClusterView, SubnetLease } from '../store/cluster-view.ts'
import type { Keyspace } from '../store/keyspace.ts'
import { encodeHolder, encodeSubnet } from '../store/records.ts'
import type { Compare, Operation } from '../store/store.ts'
import type { KnownNetwork } from './known-networks.ts'
import type { Publisher } from './subnet-value.ts'
import { hostName } from './taken.ts'

/** How many networks one transaction takes over; etcd refuses more than 128 operations in one (--max-txn-ops). */
export const MOST_AT_ONCE = 40

/** Who this host is now, and what its journal still knows. */
export interface Rebuilder extends Pick<Publisher, 'hostId' | 'publicIp'> {
  readonly isJournaled: (networkId: string) => boolean
}

/** A network whose lease is this host's once the decision is committed. */
export interface Found {
  readonly known: KnownNetwork
  readonly lease: SubnetLease
}

export interface RebuildPlan {
  readonly found: readonly Found[]
  /** Networks for which it is too early to tell, with the reason. */
  readonly waiting: ReadonlyMap<string, string>
  /** Networks that cannot be had back, with the reason. */
  readonly lost: ReadonlyMap<string, string>
  /** Earlier identities of this host. */
  readonly former: ReadonlySet<string>
}

/** The same judgement as a transaction, which takes over what is found under an earlier identity. */
export function decideRebuild(
  view: ClusterView,
  known: readonly KnownNetwork[],
  by: Publisher & Rebuilder,
  keys: Keyspace,
): Decision<RebuildPlan> {
  const plan = judgeNetworks(view, known, by)
  return { ...takeover(view, plan.found, by, keys), result: plan }
}

/**
 * What becomes of networks that are still known while the journal, or this host's identity with it,
 * was lost. A lease names its network by an id that nobody but this host's own engine has made up, or
 * the swarm that it belongs to, in which every host has a lease for it. So such a lease was this host's: under its present identity, or under an earlier one if the lease
 * gives this host's address and nobody is alive under that identity. A copy of the machine has the same
 * ids, but either the original is alive or its leases give another address.
 */
export function judgeNetworks(
  view: ClusterView,
  known: readonly KnownNetwork[],
  by: Rebuilder,
): RebuildPlan {
  const leases = leasesByNetwork(view, by)
  const former = formerIdentities(known, leases, view, by)
  const found: Found[] = []
  const waiting = new Map<string, string>()
  const lost = new Map<string, string>()
  for (const network of known) {
    const lease = leases.get(network.id)
    const isMine = lease?.hostId === by.hostId
    if (by.isJournaled(network.id) && (lease === undefined || isMine)) continue
    if (lease === undefined) {
      lost.set(network.id, 'etcd has no lease of its subnet')
    } else if (!isMine && !former.has(lease.hostId ?? '')) {
      const host = hostName(view, lease.hostId ?? '')
      const ip = formatIp(lease.publicIp)
      const isHere = lease.publicIp === by.publicIp
      if (isHere) {
        waiting.set(network.id, `etcd still lists host ${host} at this address (${ip}) as alive`)
      } else if (!by.isJournaled(network.id)) {
        const subnet = formatCidr(lease.subnet)
        lost.set(network.id, `its subnet ${subnet} is leased to host ${host} at ${ip}`)
      }
    } else if (found.length === MOST_AT_ONCE) {
      waiting.set(network.id, 'others come first')
    } else {
      found.push({ known: network, lease })
    }
  }
  return { found, waiting, lost, former }
}

/** Of the leases for one network the one that is most likely this host's. */
function leasesByNetwork(view: ClusterView, by: Rebuilder): ReadonlyMap<string, SubnetLease> {
  const likelihood = ({ hostId, publicIp }: SubnetLease): number =>
    hostId === by.hostId ? 2 : Number(publicIp === by.publicIp)
  const leases = new Map<string, SubnetLease>()
  for (const lease of view.subnets.values()) {
    if (!lease.networkId) continue
    const other = leases.get(lease.networkId)
    if (!other || likelihood(other) < likelihood(lease)) leases.set(lease.networkId, lease)
  }
  return leases
}

function formerIdentities(
  known: readonly KnownNetwork[],
  leases: ReadonlyMap<string, SubnetLease>,
  view: ClusterView,
  by: Rebuilder,
): ReadonlySet<string> {
  const identities = known.flatMap(({ id }) => {
    const lease = leases.get(id)
    const hostId = lease?.hostId ?? by.hostId
    const isFormer =
      hostId !== by.hostId && lease?.publicIp === by.publicIp && !view.hosts.has(hostId)
    return isFormer ? [hostId] : []
  })
  return new Set(identities)
}

/** Writes leases of earlier identities as this one's, unless one of those comes alive meanwhile. */
function takeover(
  view: ClusterView,
  found: readonly Found[],
  by: Publisher,
  keys: Keyspace,
): { operations: Operation[]; compares: Compare[] } {
  const foreign = found.map(({ lease }) => lease).filter(({ hostId }) => hostId !== by.hostId)
  const former = [...new Set(foreign.map(({ hostId }) => hostId ?? ''))]
  return {
    operations: [
      ...foreign.flatMap((lease): Operation[] => {
        const { hostId, publicIp, vtepMac, mtu, storeLease } = by
        const value = encodeSubnet({ ...lease, hostId, publicIp, vtepMac, mtu })
        return [
          { put: lease.key, value, lease: storeLease },
          { put: keys.holder(lease.subnet), value: encodeHolder(hostId) },
        ]
      }),
      ...former
        .filter((hostId) => view.privatePrefixes.has(hostId))
        .map((hostId) => ({ delete: keys.privatePrefixes(hostId) })),
    ],
    compares: former.map((hostId) => ({ key: keys.host(hostId), is: 'absent' })),
  }
}
