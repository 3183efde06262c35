import { z } from 'zod'
import { parseCidr, type Cidr } from '../net/cidr.ts'
import { LINK_PREFIX, ROUTE_PROTOCOL } from './host-state.ts'
import { ipQuery, ipRoute, type IpRoute } from './ip.ts'
import { withLength } from './routes.ts'

/** The question whose answer onLinkRoutesIn() reads. */
export const ON_LINK_QUESTION = 'route show table main scope link'

/** A route that dockerd takes for a network of this host. */
export interface OnLinkRoute {
  readonly prefix: Cidr
  /** null for an unreachable route. */
  readonly dev: string | null
  /** Made by this product: a bridge's own prefix or a steering route. */
  readonly ours: boolean
}

/**
 * The routes with which dockerd compares a pool before it takes it: those of the main table that have
 * a destination and scope link, of whatever type (moby libnetwork/netutils CheckRouteOverlaps).
 * @throws OverlayError host_state
 */
export async function onLinkRoutes(): Promise<OnLinkRoute[]> {
  const [routes = []] = await ipQuery([ON_LINK_QUESTION])
  return onLinkRoutesIn(routes)
}

export function onLinkRoutesIn(routes: readonly unknown[]): OnLinkRoute[] {
  return z
    .array(ipRoute)
    .parse(routes)
    .filter(({ dst }) => dst !== 'default')
    .map(({ type, dst, dev, protocol }) => ({
      prefix: parseCidr(withLength(dst)),
      dev: type === 'unicast' ? (dev ?? null) : null,
      ours: isOurs({ dev, protocol }),
    }))
}

const isOurs = ({ dev, protocol }: Pick<IpRoute, 'dev' | 'protocol'>): boolean =>
  protocol === String(ROUTE_PROTOCOL) || (dev?.startsWith(LINK_PREFIX) ?? false)
