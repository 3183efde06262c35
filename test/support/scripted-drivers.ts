import type { IpamDriver, NetworkDriver } from '../../plugin/drivers.ts'

/** A driver that does nothing: a pooled /17 with this host's /24, one container. */
export function scriptedNetworkDriver(own: Partial<NetworkDriver> = {}): NetworkDriver {
  const nothing = async (): Promise<void> => {}
  return {
    getCapabilities: async () => ({ Scope: 'local', ConnectivityScope: 'global' }),
    gwAllocCheck: async () => ({ SkipIPv4: false, SkipIPv6: false }),
    allocateNetwork: async (request) => ({ Options: request.Options }),
    freeNetwork: nothing,
    createNetwork: nothing,
    deleteNetwork: nothing,
    createEndpoint: async (request) => ({
      Interface: request.Interface.MacAddress === '' ? { MacAddress: '02:42:0a:21:05:02' } : {},
    }),
    deleteEndpoint: nothing,
    endpointOperInfo: async () => ({ Value: {} }),
    join: async (request) => ({
      InterfaceName: { SrcName: `ov-c${request.EndpointID.slice(0, 10)}`, DstPrefix: 'eth' },
    }),
    leave: nothing,
    programExternalConnectivity: nothing,
    revokeExternalConnectivity: nothing,
    discoverNew: nothing,
    discoverDelete: nothing,
    ...own,
  }
}

export function scriptedIpamDriver(own: Partial<IpamDriver> = {}): IpamDriver {
  let last = 1
  return {
    getCapabilities: async () => ({ RequiresMACAddress: false, RequiresRequestReplay: false }),
    getDefaultAddressSpaces: async () => ({
      LocalDefaultAddressSpace: 'overlay-ts',
      GlobalDefaultAddressSpace: 'overlay-ts',
    }),
    requestPool: async () => ({
      PoolID: '10.33.5.0/24',
      Pool: '10.33.5.0/24',
      Data: { 'com.docker.network.gateway': '10.33.5.1/17' },
    }),
    releasePool: async () => {},
    requestAddress: async (request) => ({
      Address: `${request.Address === '' ? `10.33.5.${(last += 1)}` : request.Address}/17`,
    }),
    releaseAddress: async () => {},
    ...own,
  }
}
