import { z } from 'zod'
import { goFlag, goStrings, goText } from './go-json.ts'

/**
 * What dockerd says to an `IpamDriver`, and what it wants to hear
 * (moby daemon/libnetwork/ipams/remote/api/api.go, unchanged from 20.10 to 29).
 */

/** Key of RequestAddress options; the value "com.docker.network.gateway" asks for the gateway. */
export const REQUEST_ADDRESS_TYPE = 'RequestAddressType'
export const GATEWAY_ADDRESS = 'com.docker.network.gateway'

const poolId = z.string().min(1, 'must not be empty')

export const requestPoolRequest = z.object({
  AddressSpace: goText,
  /** `--subnet`, or "" for a pool of our choice. */
  Pool: goText,
  /** `--ip-range`, or "". */
  SubPool: goText,
  /** `--ipam-opt`. */
  Options: goStrings,
  V6: goFlag,
})
export const releasePoolRequest = z.object({ PoolID: poolId })
export const requestAddressRequest = z.object({
  PoolID: poolId,
  /** The wanted address without a prefix length, or "" for any. */
  Address: goText,
  Options: goStrings,
})
export const releaseAddressRequest = z.object({
  PoolID: poolId,
  /** Without a prefix length. */
  Address: goText,
})

export type RequestPoolRequest = z.output<typeof requestPoolRequest>
export type ReleasePoolRequest = z.output<typeof releasePoolRequest>
export type RequestAddressRequest = z.output<typeof requestAddressRequest>
export type ReleaseAddressRequest = z.output<typeof releaseAddressRequest>

export interface IpamCapabilities {
  readonly RequiresMACAddress: boolean
  /** True makes dockerd ask for every pool and address again when it starts. */
  readonly RequiresRequestReplay: boolean
}

export interface AddressSpaces {
  readonly LocalDefaultAddressSpace: string
  readonly GlobalDefaultAddressSpace: string
}

export interface RequestPoolResponse {
  readonly PoolID: string
  /** "10.32.5.0/24" */
  readonly Pool: string
  /** "com.docker.network.gateway" here ("10.32.5.1/24") spares the gateway's RequestAddress. */
  readonly Data?: Readonly<Record<string, string>>
}

export interface RequestAddressResponse {
  /** With the prefix length that the container will see: "10.32.5.2/17". */
  readonly Address: string
  readonly Data?: Readonly<Record<string, string>>
}
