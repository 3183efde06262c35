import { followLines, type HostWatch } from './follow-lines.ts'
import { LINK_PREFIX, ROUTE_PROTOCOL } from './host-state.ts'

/** The addresses of links to themselves (fe80::) come and go with their carriers. */
const ADDRESS = / inet | inet6 (?!fe80:)/

/** Tells when links, addresses or routes of this host have changed, by others or at the expense of ours. */
export function watchHost(onChange: () => void): HostWatch {
  const args = ['-o', 'monitor', 'label', 'link', 'address', 'route']
  return followLines({ program: 'ip', args, isNews: newsFilter() }, onChange)
}

/**
 * Whether a line of `ip -o monitor label` is worth a look. What we do ourselves is not (new links,
 * addresses and routes of ours), nor is the coming and going of cables, nor the local table. A lost
 * bridge, address or route of ours is.
 */
export function newsFilter(): (line: string) => boolean {
  const lastSeen = new Map<string, string>()
  return (line) => {
    const [, label, deleted, rest = ''] = /^\[(\w+)\](Deleted )?(.*)$/.exec(line) ?? []
    const lost = deleted !== undefined
    if (label === 'ROUTE') return isRouteNews(rest, lost)
    if (label === 'ADDR') return ADDRESS.test(rest) && (lost || !isOurs(nameIn(rest)))
    if (label !== 'LINK') return false
    const name = nameIn(rest)
    if (isCable(name)) return false
    // The same words come again for each feature that a new port takes from a bridge.
    const words = lost ? '' : rest.replace(/event [A-Z ]+/, '')
    const isRepeated = lastSeen.get(name) === words
    lastSeen.set(name, words)
    return !isRepeated && (lost || !isOurs(name) || !/[<,]UP[,>]/.test(rest))
  }
}

/** A host's links to itself fill its routes of IPv6 (fe80::/64 for each): of these, ours alone are asked after. */
function isRouteNews(route: string, lost: boolean): boolean {
  if (route.includes(' table ')) return false
  const device = / dev (\S+)/.exec(route)?.[1] ?? ''
  const ours = isOurs(device) || route.includes(` proto ${ROUTE_PROTOCOL} `)
  if (IPV6_ROUTE.test(route)) return lost && ours && !LINK_LOCAL_ROUTE.test(route)
  return lost || !ours
}

const IPV6_ROUTE = /^(\w+ )?[\da-f]*:/
const LINK_LOCAL_ROUTE = /^(\w+ )?(fe80|ff00):/

const nameIn = (text: string): string => /^\d+: ([^@:\s]+)/.exec(text)?.[1] ?? ''
const isOurs = (name: string): boolean => name.startsWith(LINK_PREFIX)
const isCable = (name: string): boolean =>
  name.startsWith('veth') ||
  name.startsWith(`${LINK_PREFIX}h`) ||
  name.startsWith(`${LINK_PREFIX}c`)
