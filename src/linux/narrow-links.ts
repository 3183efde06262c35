import { MIN_IPV6_MTU } from '../net/mtu.ts'
import type { HostState } from './host-state.ts'
import type { ObservedState } from './observe.ts'

/**
 * The links too narrow for IPv6 that are wanted wider, with the MTU they get. The kernel took their IPv6 away,
 * settings and all, and makes it anew with the MTU (net/ipv6/addrconf.c, NETDEV_CHANGEMTU); so that comes
 * before everything that concerns IPv6.
 */
export function narrowLinks(
  { links }: ObservedState,
  want: HostState,
): ReadonlyMap<string, number> {
  const wanted = [...(want.tun ? [want.tun] : []), ...want.bridges, ...want.ports]
  return new Map(
    wanted
      .filter(({ name, mtu }) => {
        const have = links.get(name)?.mtu
        return have !== undefined && have < MIN_IPV6_MTU && mtu >= MIN_IPV6_MTU
      })
      .map(({ name, mtu }) => [name, mtu]),
  )
}

/** The state once they have it. */
export function widened(have: ObservedState, mtus: ReadonlyMap<string, number>): ObservedState {
  if (mtus.size === 0) return have
  return {
    ...have,
    links: new Map(
      [...have.links].map(([name, link]) => [name, { ...link, mtu: mtus.get(name) ?? link.mtu }]),
    ),
  }
}
