import { containsCidr, parseCidr, type Cidr } from '../net/cidr.ts'
import type { ClusterView } from '../store/cluster-view.ts'

/** What Docker cuts its default address pools from (moby libnetwork/ipamutils): 31 pools in all. */
const DEFAULT_POOLS = [parseCidr('172.16.0.0/12'), parseCidr('192.168.0.0/16')]
const SMALLEST_DEFAULT = 20

/** Every host steers its Docker away from all of these, so half are left to local networks. */
const SHARED_AT_MOST = 16

export function isDefaultDockerPool(subnet: Cidr): boolean {
  return (
    subnet.length <= SMALLEST_DEFAULT && DEFAULT_POOLS.some((pool) => containsCidr(pool, subnet))
  )
}

/** How many more of Docker's default pools the cluster may take. */
export function dockerPoolsLeft(view: ClusterView): number {
  const taken = view.subnets
    .values()
    .filter((lease) => lease.kind === 'docker' && isDefaultDockerPool(lease.subnet))
  return Math.max(0, SHARED_AT_MOST - [...taken].length)
}
