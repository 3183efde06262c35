import { formatCidr6, parseCidr6 } from '../net/cidr6.ts'
import type { HeldSubnet, Journal } from './journal.ts'

/** The held subnet of which that prefix of either family is one: "10.33.5.0/24", "fd0d:cafe:1:5::/64". */
export function heldWith(journal: Journal, subnet: string): HeldSubnet | undefined {
  if (!subnet.includes(':')) return journal.subnets.get(subnet)
  const text = canonical(subnet)
  return journal.subnets.values().find(({ ipv6 }) => ipv6?.subnet === text)
}

/** Of IPv6 there are many spellings, of which the journal has one. */
function canonical(subnet: string): string {
  try {
    return formatCidr6(parseCidr6(subnet))
  } catch {
    return subnet
  }
}
