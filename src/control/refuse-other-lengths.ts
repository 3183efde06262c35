import { OverlayError } from '../errors.ts'
import { subnetLengthFor } from '../ipam/subnet-length.ts'
import { formatCidr } from '../net/cidr.ts'
import type { OverlayRecord } from '../store/cluster-view.ts'

/**
 * An overlay's pool, and the subnets that hosts cut from it, have the lengths that its first network gave
 * them. The same command is typed on every host, so what it asked for then is no contradiction, even where the
 * pool was too small for it (`subnetLengthFor`).
 * @throws OverlayError conflict when other lengths are asked for than the overlay has
 */
export function refuseOtherLengths(
  { name, pool, subnetLength }: Pick<OverlayRecord, 'name' | 'pool' | 'subnetLength'>,
  wanted: { readonly poolLength: number | null; readonly subnetLength: number | null },
): void {
  if (pool === null) return
  if (wanted.poolLength !== null && wanted.poolLength !== pool.length) {
    throw new OverlayError(
      'conflict',
      `overlay ${name} exists already and has the pool ${formatCidr(pool)}, not one of the length ${wanted.poolLength}; write --ipam-opt pool-len=${pool.length}, or leave it out`,
    )
  }
  if (wanted.subnetLength === null || subnetLength === null) return
  if (subnetLengthFor(pool, wanted.subnetLength) === subnetLength) return
  throw new OverlayError(
    'conflict',
    `overlay ${name} exists already and gives each host a /${subnetLength}, not a /${wanted.subnetLength}; write subnet-len=${subnetLength}, or leave it out`,
  )
}
