import { disjointFlows } from './disjoint-flows.ts'
import { familyOfText, type AllowedFlow, type HostState } from './host-state.ts'

/** A named set of our nftables table. */
export interface NftSet {
  readonly name: string
  readonly type: readonly string[]
  /** What of a packet is looked up in it. */
  readonly match: string
  readonly elements: readonly string[]
}

/** The set that is there as long as IPv6 is allowed anywhere. */
export const ALLOWED6 = 'allowed6'

const LINKS = 'iifname . oifname'

/** What may be forwarded to and from our links: inside a bridge anything, else by link and address. */
export function isolationSets({ bridges, allowed }: HostState): NftSet[] {
  const flows = Map.groupBy(disjointFlows(allowed), ({ fromPrefix }) => familyOfText(fromPrefix))
  const flows6 = flows.get('ipv6')
  return [
    {
      name: 'same_bridge',
      type: ['type ifname . ifname'],
      match: LINKS,
      elements: bridges.map(({ name }) => `"${name}" . "${name}"`).sort(),
    },
    {
      name: 'allowed',
      type: ['type ifname . ifname . ipv4_addr . ipv4_addr', 'flags interval'],
      match: `${LINKS} . ip saddr . ip daddr`,
      elements: (flows.get('ipv4') ?? []).map(elementText),
    },
    ...(flows6 ? [allowed6(flows6)] : []),
  ]
}

/** Only where it is of use: hosts without IPv6 in their networks have a table without it. */
const allowed6 = (flows: readonly AllowedFlow[]): NftSet => ({
  name: ALLOWED6,
  type: ['type ifname . ifname . ipv6_addr . ipv6_addr', 'flags interval'],
  match: `${LINKS} . ip6 saddr . ip6 daddr`,
  elements: flows.map(elementText),
})

const elementText = ({ fromLink, toLink, fromPrefix, toPrefix }: AllowedFlow): string =>
  `"${fromLink}" . "${toLink}" . ${fromPrefix} . ${toPrefix}`

/** The set as it stands in the text of a table. */
export function setLines({ name, type, elements }: NftSet): string[] {
  return [
    `  set ${name} {`,
    ...type.map((line) => `    ${line}`),
    ...(elements.length === 0
      ? []
      : ['    elements = {', elements.map((text) => `      ${text}`).join(',\n'), '    }']),
    '  }',
  ]
}
