import { OverlayError } from '../errors.ts'
import { containsIp, formatCidr, lastOf, sizeOf, type Cidr } from '../net/cidr.ts'
import { containsIp6, formatCidr6, lastOf6, type Cidr6 } from '../net/cidr6.ts'
import { parseIpv4, type Ipv4 } from '../net/ipv4.ts'
import { parseIpv6, type Ipv6 } from '../net/ipv6.ts'
import type { AddressPool6Record, AddressPoolRecord } from './address-pool-record.ts'
import { SubnetAddresses } from './subnet-addresses.ts'

export type { AddressPurpose } from './subnet-addresses.ts'

/** Shortest and longest prefix that is a host's subnet: with a gateway and a container in the longest. */
const LENGTHS = { shortest: 8, longest: 30 }
const LENGTHS6 = { shortest: 16, longest: 126 }

/** The addresses of a host's IPv4 subnet. The first (the host's own) and the last (broadcast) are never given. */
export class AddressPool extends SubnetAddresses<Ipv4> {
  readonly subnet: Cidr

  /** @throws OverlayError bad_input: a length outside 8 to 30, or a record that is not of this subnet */
  constructor(subnet: Cidr, record?: AddressPoolRecord) {
    const text = formatCidr(subnet)
    refuseLength(text, subnet.length, LENGTHS)
    const span = {
      subnet: text,
      first: subnet.base + 1,
      last: lastOf(subnet) - 1,
      size: sizeOf(subnet) - 2,
      next: (ip: Ipv4) => ip + 1,
      parse: parseIpv4,
      refusal: (ip: Ipv4) => {
        if (!containsIp(subnet, ip)) return outside(text)
        return ip === subnet.base ? ownOf(text) : `is the broadcast address of ${text}`
      },
      exhausted: (count: number) =>
        new OverlayError(
          'exhausted',
          `${text} has no free address: ${count} of ${count} are used; remove containers that are not needed, or make a new overlay whose hosts have more: --ipam-opt subnet-len=${subnet.length - 1} in a pool of /${subnet.length - 3} or larger (with --ipam-driver null, -o subnet-len=)`,
        ),
    }
    super(span, record)
    this.subnet = subnet
  }
}

/** The addresses of a host's IPv6 subnet. The first (the host's own) is never given; there is no broadcast. */
export class AddressPool6 extends SubnetAddresses<Ipv6> {
  readonly subnet: Cidr6

  /** @throws OverlayError bad_input: a length outside 16 to 126, or a record that is not of this subnet */
  constructor(subnet: Cidr6, record?: AddressPool6Record) {
    const text = formatCidr6(subnet)
    refuseLength(text, subnet.length, LENGTHS6)
    const span = {
      subnet: text,
      first: subnet.address + 1n,
      last: lastOf6(subnet),
      size: Number(lastOf6(subnet) - subnet.address),
      next: (ip: Ipv6) => ip + 1n,
      parse: parseIpv6,
      refusal: (ip: Ipv6) => (containsIp6(subnet, ip) ? ownOf(text) : outside(text)),
      exhausted: (count: number) =>
        new OverlayError(
          'exhausted',
          `${text} has no free address: ${count} of ${count} are used; an overlay made with a shorter IPv6 --subnet gives each host more`,
        ),
    }
    super(span, record)
    this.subnet = subnet
  }
}

const outside = (subnet: string): string => `is outside ${subnet}, the subnet of this host`

const ownOf = (subnet: string): string => `is this host's own address in ${subnet}`

function refuseLength(subnet: string, length: number, allowed: typeof LENGTHS): void {
  const { shortest, longest } = allowed
  if (length >= shortest && length <= longest) return
  throw new OverlayError(
    'bad_input',
    `${subnet} cannot be a host's subnet; give one of a length from /${shortest} to /${longest}`,
  )
}
