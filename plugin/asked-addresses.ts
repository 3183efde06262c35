import type { Network } from '../src/control/journal.ts'
import { OverlayError } from '../src/errors.ts'
import { ADDRESS_SPACE } from './ipam-driver.ts'
import type { CreateNetworkRequest, IpamData } from './network-messages.ts'

/** What CreateNetwork says of a network's addresses: one subnet of a family at most. */
export interface AskedAddresses {
  readonly ipam: Network['ipam']
  /** null for a network of IPv6 alone (`--ipv4=false`, from Docker 28 on). */
  readonly ipv4: IpamData | null
  readonly hasIpv6: boolean
  /** null without IPv6, and where the addresses are ours to give. */
  readonly ipv6: IpamData | null
}

/** @throws OverlayError unsupported for two subnets of a family, or none at all */
export function askedAddresses({
  Options,
  IPv4Data,
  IPv6Data,
}: CreateNetworkRequest): AskedAddresses {
  const ipv4 = Options['com.docker.network.enable_ipv4'] ? onlyOne(IPv4Data, '--subnet') : null
  const ipv6 = onlyOne(IPv6Data, 'IPv6 --subnet')
  const hasIpv6 = Options['com.docker.network.enable_ipv6'] || ipv6 !== null
  const first = ipv4 ?? ipv6
  if (first === null) {
    throw new OverlayError(
      'unsupported',
      'overlay-ts needs IPv4 or IPv6 in a network, and this one has neither; leave --ipv4=false out, or add --ipv6',
    )
  }
  const ipam = ipamOf(first)
  return { ipam, ipv4, hasIpv6, ipv6: ipam === 'null' ? null : ipv6 }
}

function onlyOne(data: readonly IpamData[], flag: string): IpamData | null {
  const [first = null, second] = data
  if (!first || !second) return first
  // docker's client sends what was typed in any order; the same command is refused in the same words.
  const asked = data.map(({ Pool }) => Pool)
  asked.sort((a, b) => a.localeCompare(b, 'en', { numeric: true }))
  // Ours are subnets that were leased for what was typed.
  const why =
    first.AddressSpace === ADDRESS_SPACE ? '' : `, and this command asks for ${asked.join(' and ')}`
  throw new OverlayError(
    'unsupported',
    `a network of overlay-ts has one subnet on each host${why}; give one ${flag}, and make a second network for another`,
  )
}

function ipamOf({ AddressSpace, Pool }: IpamData): Network['ipam'] {
  if (AddressSpace === ADDRESS_SPACE) return 'overlay-ts'
  return AddressSpace === 'null' || Pool === '' || Pool === '0.0.0.0/0' ? 'null' : 'docker'
}
