import type { ClusterView, SubnetLease } from '../store/cluster-view.ts'

/**
 * Words before the remedy of a `--subnet` that is refused: Docker asks for each `--subnet` of a command by
 * itself and in any order, so what stands in the way may be of the same command, and gone again when it
 * has failed. That is possible where this host holds a subnet that no network has yet.
 * @param isRival whether a subnet may be what stands in the way
 * @returns "" where it is not possible
 */
export function oneSubnetEach(
  view: ClusterView,
  hostId: string,
  isRival: (lease: SubnetLease) => boolean,
): string {
  const isPossible = view.subnets
    .values()
    .some((lease) => lease.hostId === hostId && lease.networkId === null && isRival(lease))
  return isPossible
    ? 'a network has one --subnet of each family: give one if the command has more, else '
    : ''
}
