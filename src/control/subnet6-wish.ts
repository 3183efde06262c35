import type { Cidr6 } from '../net/cidr6.ts'

/** What a Docker user asked for, as far as the choice of a network's IPv6 subnet is concerned. */
export type Subnet6Wish =
  /** `--ipv6` with our IPAM: a part of the overlay's IPv6 pool, or a subnet of its own where there is no pool. */
  | {
      readonly kind: 'ours'
      /** `--subnet`: of a new IPv6 pool, or what the overlay's must be; null takes any. */
      readonly pool: Cidr6 | null
      /** `--ip-range`: exactly this part of the pool. */
      readonly subnet: Cidr6 | null
    }
  /** Docker's IPAM chose; the choice is claimed. */
  | {
      readonly kind: 'docker'
      readonly subnet: Cidr6
      /** "fd00:95::1"; null takes the first address. */
      readonly gateway: string | null
    }

/** IPv6, and nothing more said of it. */
export const ANY_SUBNET6: Subnet6Wish = { kind: 'ours', pool: null, subnet: null }
