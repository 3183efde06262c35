import { z } from 'zod'
import { goFlag, goList, goStrings, goText } from './go-json.ts'

/**
 * What dockerd says to a `NetworkDriver`, and what it wants to hear
 * (moby daemon/libnetwork/drivers/remote/api/api.go, the same from 20.10 to 29 but for added keys).
 *
 * Unknown keys pass, since every release adds some; a Go nil map or slice arrives as `null` and is
 * read as empty; whatever this project uses must have the type it had in all those releases.
 */

/** Docker's ids are hexadecimal, swarm's are base 36. They name links and files, so nothing else passes. */
const id = z
  .string()
  .regex(/^[0-9A-Za-z][0-9A-Za-z_-]{0,127}$/, 'must be letters, digits, "_" and "-"')

/** Options of a network. `generic` holds the user's `-o key=value` and the daemon's defaults. */
const networkOptions = z
  .looseObject({
    'com.docker.network.generic': goStrings,
    'com.docker.network.internal': goFlag,
    'com.docker.network.enable_ipv6': goFlag,
    /** Sent from Docker 28 on; before that every network had IPv4. */
    'com.docker.network.enable_ipv4': z
      .boolean()
      .nullish()
      .transform((value) => value ?? true),
  })
  .nullish()
  .transform(
    (value) =>
      value ?? {
        'com.docker.network.generic': {},
        'com.docker.network.internal': false,
        'com.docker.network.enable_ipv6': false,
        'com.docker.network.enable_ipv4': true,
      },
  )

/** A published port as libnetwork writes it. Proto: 6 TCP, 17 UDP, 132 SCTP; HostPort 0: any. */
const portBinding = z.object({
  Proto: z.int().min(0).max(255),
  IP: goText,
  Port: z.int().min(0).max(65535),
  HostIP: goText,
  HostPort: z.int().min(0).max(65535).default(0),
  HostPortEnd: z.int().min(0).max(65535).default(0),
})

/** An exposed port, published or not. */
const transportPort = z.object({
  Proto: z.int().min(0).max(255),
  Port: z.int().min(0).max(65535),
})

/** Options of an endpoint or a sandbox; `network connect --driver-opt` adds strings of any name. */
const attachmentOptions = z
  .looseObject({
    'com.docker.network.portmap': goList(portBinding),
    'com.docker.network.endpoint.exposedports': goList(transportPort),
  })
  .nullish()
  .transform(
    (value) =>
      value ?? {
        'com.docker.network.portmap': [],
        'com.docker.network.endpoint.exposedports': [],
      },
  )

/** One address family of a network. The null IPAM sends no Gateway. */
const ipamData = z.object({
  AddressSpace: goText,
  /** "10.32.5.0/24" */
  Pool: goText,
  /** "10.32.5.1/24", or "" */
  Gateway: goText,
  /** Name to "10.32.5.9/24". */
  AuxAddresses: goStrings,
})

const ipamDataList = goList(ipamData)

/** What Docker has chosen already; an empty field is the driver's to fill, a full one it must not repeat. */
const endpointInterface = z
  .object({ Address: goText, AddressIPv6: goText, MacAddress: goText })
  .nullish()
  .transform((value) => value ?? { Address: '', AddressIPv6: '', MacAddress: '' })

export const gwAllocCheckRequest = z.object({ Options: networkOptions })
export const allocateNetworkRequest = z.object({
  NetworkID: id,
  Options: goStrings,
  IPv4Data: ipamDataList,
  IPv6Data: ipamDataList,
})
export const freeNetworkRequest = z.object({ NetworkID: id })
export const createNetworkRequest = z.object({
  NetworkID: id,
  Options: networkOptions,
  IPv4Data: ipamDataList,
  IPv6Data: ipamDataList,
})
export const deleteNetworkRequest = z.object({ NetworkID: id })
export const createEndpointRequest = z.object({
  NetworkID: id,
  EndpointID: id,
  Interface: endpointInterface,
  Options: attachmentOptions,
})
/** DeleteEndpoint, EndpointOperInfo, Leave and RevokeExternalConnectivity say no more than this. */
export const endpointRequest = z.object({ NetworkID: id, EndpointID: id })
export const joinRequest = z.object({
  NetworkID: id,
  EndpointID: id,
  /** Path of the network namespace, which need not exist yet (Docker 20.10 to 27). */
  SandboxKey: goText,
  Options: attachmentOptions,
})
export const programExternalConnectivityRequest = z.object({
  NetworkID: id,
  EndpointID: id,
  Options: attachmentOptions,
})
/** Swarm only: a node came or went. Type 1 is a node. */
export const discoveryRequest = z.object({
  DiscoveryType: z.int(),
  DiscoveryData: z
    .object({ Address: goText, BindAddress: goText, Self: goFlag })
    .nullish()
    .transform((value) => value ?? { Address: '', BindAddress: '', Self: false }),
})

export type IpamData = z.output<typeof ipamData>
export type GwAllocCheckRequest = z.output<typeof gwAllocCheckRequest>
export type AllocateNetworkRequest = z.output<typeof allocateNetworkRequest>
export type FreeNetworkRequest = z.output<typeof freeNetworkRequest>
export type CreateNetworkRequest = z.output<typeof createNetworkRequest>
export type DeleteNetworkRequest = z.output<typeof deleteNetworkRequest>
export type CreateEndpointRequest = z.output<typeof createEndpointRequest>
export type EndpointRequest = z.output<typeof endpointRequest>
export type JoinRequest = z.output<typeof joinRequest>
export type ProgramExternalConnectivityRequest = z.output<typeof programExternalConnectivityRequest>
export type DiscoveryRequest = z.output<typeof discoveryRequest>

export interface NetworkCapabilities {
  readonly Scope: 'local' | 'global'
  readonly ConnectivityScope: 'local' | 'global'
  /** Docker 28 and later then asks GwAllocCheck before it asks for a gateway address. */
  readonly GwAllocChecker?: boolean
}

export interface GwAllocCheckResponse {
  readonly SkipIPv4: boolean
  readonly SkipIPv6: boolean
}

export interface AllocateNetworkResponse {
  /** Replaces the network's options on the workers. */
  readonly Options: Readonly<Record<string, string>>
}

export interface CreateEndpointResponse {
  /** Only fields that came empty: a repeated value fails the container ("Cannot be modified"). */
  readonly Interface?: {
    readonly Address?: string
    readonly AddressIPv6?: string
    readonly MacAddress?: string
  }
}

export interface EndpointOperInfoResponse {
  readonly Value: Readonly<Record<string, unknown>>
}

/** RouteType 0 goes through NextHop, 1 is on the link. */
export interface StaticRoute {
  readonly Destination: string
  readonly RouteType: 0 | 1
  readonly NextHop: string
}

export interface JoinResponse {
  /** libnetwork moves SrcName into the container and names it DstPrefix and an index. */
  readonly InterfaceName: { readonly SrcName: string; readonly DstPrefix: string }
  /** A bare address, without a prefix length. */
  readonly Gateway?: string
  readonly GatewayIPv6?: string
  readonly StaticRoutes?: readonly StaticRoute[]
  /** True keeps docker_gwbridge away even without a gateway. */
  readonly DisableGatewayService?: boolean
}
