import type { Cidr } from '../net/cidr.ts'
import type { Vni } from '../net/vni.ts'

/** What a Docker user asked for, as far as the choice of a subnet is concerned. */
export type SubnetWish =
  /** `--ipam-opt overlay=NAME`, perhaps with `--subnet` as the overlay's pool. */
  | {
      readonly kind: 'pooled'
      readonly overlay: string
      /** Of a new overlay, or what an existing one must have; null takes any. */
      readonly vni: Vni | null
      readonly pool: Cidr | null
      readonly poolLength: number | null
      readonly subnetLength: number | null
      /** `--ip-range`: exactly this part of the pool. */
      readonly subnet: Cidr | null
    }
  /** `--subnet POOL` with our IPAM and no name: the overlay that owns the pool, or will. */
  | {
      readonly kind: 'shared-pool'
      readonly pool: Cidr
      readonly subnetLength: number | null
      readonly subnet: Cidr | null
    }
  /** Our IPAM and nothing else: a subnet of the cluster's network, reached by routes. */
  | {
      readonly kind: 'routed'
      readonly overlay: string | null
      /** As for a pooled one, where the overlay is named. */
      readonly vni: Vni | null
      readonly subnetLength: number | null
    }
  /** Docker's IPAM chose; the choice is claimed. */
  | {
      readonly kind: 'docker'
      readonly subnet: Cidr
      readonly overlay: string | null
      readonly vni: Vni | null
    }
