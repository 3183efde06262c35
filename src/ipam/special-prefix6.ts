import { formatCidr6, overlaps6, parseCidr6, type Cidr6 } from '../net/cidr6.ts'

/** What no host may route to another (IANA IPv6 Special-Purpose Address Registry, RFC 6890). */
const SPECIAL = (
  [
    ['::/8', 'holds loopback and IPv4-mapped addresses'],
    ['fe80::/10', 'is link-local, the same on every link'],
    ['ff00::/8', 'is multicast'],
  ] as const
).map(([text, why]) => ({ prefix: parseCidr6(text), why }))

/** Why containers cannot have addresses of that prefix: a clause that names it; null when they can. */
export function specialPrefix6(candidate: Cidr6): string | null {
  const special = SPECIAL.find(({ prefix }) => overlaps6(prefix, candidate))
  if (special === undefined) return null
  return `${formatCidr6(candidate)} overlaps ${formatCidr6(special.prefix)}, which ${special.why}`
}
