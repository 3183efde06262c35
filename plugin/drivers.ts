import type {
  AddressSpaces,
  IpamCapabilities,
  ReleaseAddressRequest,
  ReleasePoolRequest,
  RequestAddressRequest,
  RequestAddressResponse,
  RequestPoolRequest,
  RequestPoolResponse,
} from './ipam-messages.ts'
import type {
  AllocateNetworkRequest,
  AllocateNetworkResponse,
  CreateEndpointRequest,
  CreateEndpointResponse,
  CreateNetworkRequest,
  DeleteNetworkRequest,
  DiscoveryRequest,
  EndpointOperInfoResponse,
  EndpointRequest,
  FreeNetworkRequest,
  GwAllocCheckRequest,
  GwAllocCheckResponse,
  JoinRequest,
  JoinResponse,
  NetworkCapabilities,
  ProgramExternalConnectivityRequest,
} from './network-messages.ts'

/**
 * What the server needs of a network driver: one method for each of the protocol's. A request may
 * arrive twice (dockerd repeats it when a connection breaks), so every method gives the same answer
 * again; a throw becomes the error that the user of Docker reads.
 */
export interface NetworkDriver {
  getCapabilities(): Promise<NetworkCapabilities>
  gwAllocCheck(request: GwAllocCheckRequest): Promise<GwAllocCheckResponse>
  allocateNetwork(request: AllocateNetworkRequest): Promise<AllocateNetworkResponse>
  freeNetwork(request: FreeNetworkRequest): Promise<void>
  createNetwork(request: CreateNetworkRequest): Promise<void>
  deleteNetwork(request: DeleteNetworkRequest): Promise<void>
  createEndpoint(request: CreateEndpointRequest): Promise<CreateEndpointResponse>
  deleteEndpoint(request: EndpointRequest): Promise<void>
  endpointOperInfo(request: EndpointRequest): Promise<EndpointOperInfoResponse>
  join(request: JoinRequest): Promise<JoinResponse>
  leave(request: EndpointRequest): Promise<void>
  programExternalConnectivity(request: ProgramExternalConnectivityRequest): Promise<void>
  revokeExternalConnectivity(request: EndpointRequest): Promise<void>
  discoverNew(request: DiscoveryRequest): Promise<void>
  discoverDelete(request: DiscoveryRequest): Promise<void>
}

/** What the server needs of an address manager, under the same rules. */
export interface IpamDriver {
  getCapabilities(): Promise<IpamCapabilities>
  getDefaultAddressSpaces(): Promise<AddressSpaces>
  requestPool(request: RequestPoolRequest): Promise<RequestPoolResponse>
  releasePool(request: ReleasePoolRequest): Promise<void>
  requestAddress(request: RequestAddressRequest): Promise<RequestAddressResponse>
  releaseAddress(request: ReleaseAddressRequest): Promise<void>
}
