import { OverlayError } from '../errors.ts'
import { formatCidr, type Cidr } from '../net/cidr.ts'

/** The longest prefix with room for a gateway and a container. */
const LONGEST = 30

/**
 * The length of the subnets cut from a pool: the wanted one where it leaves four of them or more, else two
 * bits more than the pool's (flannel pkg/subnet/config.go CheckNetworkConfig).
 * @throws OverlayError bad_input for a pool in which four subnets have no room
 */
export function subnetLengthFor(pool: Cidr, wanted: number): number {
  const least = pool.length + 2
  if (least > LONGEST) {
    throw new OverlayError(
      'bad_input',
      `${formatCidr(pool)} is too small to be shared by hosts; give a pool of /${LONGEST - 2} or larger`,
    )
  }
  return Math.min(LONGEST, Math.max(least, wanted))
}
