import type { IpRoute } from './ip.ts'
import { familyOfText, ROUTE_PROTOCOL, type Route } from './host-state.ts'

/** A route with everything spelled out that `ip route` leaves to defaults: two of them compare as text. */
export type FullRoute = Readonly<Record<keyof Route, string>>

/** What the kernel gives a route of IPv6 that is added without a metric (IP6_RT_PRIO_USER). */
const DEFAULT_METRIC6 = 1024

/**
 * Fills in the defaults: of iproute2 (iproute.c), scope link for a route to a device without a gateway, and
 * of the kernel, which knows no scope in routes of IPv6.
 */
export function fullRoute(route: Route): FullRoute {
  const onLink = route.type === 'unicast' && route.via === undefined
  const isIpv6 = familyOfText(route.to) === 'ipv6'
  return {
    type: route.type,
    to: route.to,
    dev: route.dev ?? '',
    via: route.via ?? '',
    src: route.src ?? '',
    scope: isIpv6 ? '' : (route.scope ?? (onLink ? 'link' : 'global')),
    metric: String(route.metric ?? (isIpv6 ? DEFAULT_METRIC6 : 0)),
    mtu: String(route.mtu ?? 0),
  }
}

/** The same for a route that the kernel reported. */
export function observedRoute(route: IpRoute): FullRoute {
  const special = route.type !== 'unicast'
  return {
    type: route.type,
    to: withLength(route.dst),
    dev: special ? '' : (route.dev ?? ''),
    via: route.gateway ?? '',
    src: route.prefsrc ?? '',
    scope: familyOfText(route.dst) === 'ipv6' ? '' : (route.scope ?? 'global'),
    metric: String(route.metric ?? 0),
    mtu: String(route.metrics?.find(({ mtu }) => mtu !== undefined)?.mtu ?? 0),
  }
}

/** `ip route` writes a host route without its length and the widest one as a word. */
export function withLength(prefix: string): string {
  if (prefix === 'default') return '0.0.0.0/0'
  if (prefix.includes('/')) return prefix
  return `${prefix}/${familyOfText(prefix) === 'ipv6' ? 128 : 32}`
}

/** What the kernel tells routes of one table apart by: it holds one route for each. */
export const routeSlot = (route: FullRoute): string => `${route.to} metric ${route.metric}`

/** Everything of a route after `ip route add`. */
export function routeText(route: FullRoute): string {
  const words = [route.type === 'unicast' ? route.to : `${route.type} ${route.to}`]
  if (route.via) words.push(`via ${route.via}`)
  if (route.dev) words.push(`dev ${route.dev}`)
  words.push(`proto ${ROUTE_PROTOCOL}`)
  if (route.scope) words.push(`scope ${route.scope}`)
  if (route.src) words.push(`src ${route.src}`)
  if (route.metric !== '0') words.push(`metric ${route.metric}`)
  if (route.mtu !== '0') words.push(`mtu ${route.mtu}`)
  return words.join(' ')
}
