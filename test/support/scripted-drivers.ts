import type { IpamDriver, NetworkDriver } from '../../plugin/drivers.ts'

/** A driver that plumbs nothing and gives every answer that dockerd is content with. */
export function scriptedNetworkDriver(own: Partial<NetworkDriver> = {}): NetworkDriver {
  const nothing = async (): Promise<void> => {}
  const internal = new Set<string>()
  const pooled6 = new Set<string>()
  const gateways = new Map<string, string>()
  return {
    getCapabilities: async () => ({ Scope: 'local', ConnectivityScope: 'global' }),
    gwAllocCheck: async () => ({ SkipIPv4: false, SkipIPv6: false }),
    allocateNetwork: async (request) => ({ Options: request.Options }),
    freeNetwork: nothing,
    createNetwork: async ({ NetworkID, Options, IPv4Data, IPv6Data }) => {
      if (Options['com.docker.network.internal']) internal.add(NetworkID)
      if (IPv6Data[0]?.AddressSpace === 'overlay-ts') pooled6.add(NetworkID)
      if (Options['com.docker.network.generic']['gateway'] === 'bridge') {
        gateways.set(NetworkID, IPv4Data[0]!.Gateway.split('/')[0]!)
      }
    },
    deleteNetwork: nothing,
    createEndpoint: async ({ Interface }) => ({
      Interface: {
        ...(Interface.MacAddress === '' && { MacAddress: '02:42:0a:21:05:02' }),
        ...(Interface.Address === '' &&
          Interface.AddressIPv6 === '' && { Address: '10.33.5.2/24' }),
      },
    }),
    deleteEndpoint: nothing,
    endpointOperInfo: async () => ({ Value: {} }),
    join: async ({ NetworkID, EndpointID }) => ({
      InterfaceName: { SrcName: `ov-c${EndpointID.slice(0, 10)}`, DstPrefix: 'eth' },
      StaticRoutes: pooled6.has(NetworkID)
        ? [{ Destination: 'fd00:33::/48', RouteType: 0, NextHop: 'fd00:33:0:5::1' }]
        : [],
      ...(internal.has(NetworkID) && { DisableGatewayService: true }),
      ...(gateways.has(NetworkID) && { Gateway: gateways.get(NetworkID)! }),
    }),
    leave: nothing,
    programExternalConnectivity: nothing,
    revokeExternalConnectivity: nothing,
    discoverNew: nothing,
    discoverDelete: nothing,
    ...own,
  }
}

/** One /24 of a /16 for everybody, one /64 of a /48, and a new address for whoever names none. */
export function scriptedIpamDriver(own: Partial<IpamDriver> = {}): IpamDriver {
  let last = 1
  return {
    getCapabilities: async () => ({ RequiresMACAddress: false, RequiresRequestReplay: false }),
    getDefaultAddressSpaces: async () => ({
      LocalDefaultAddressSpace: 'overlay-ts',
      GlobalDefaultAddressSpace: 'overlay-ts',
    }),
    requestPool: async ({ SubPool, V6 }) =>
      V6
        ? {
            PoolID: 'scripted6',
            Pool: SubPool === '' ? 'fd00:33:0:5::/64' : SubPool,
            Data: { 'com.docker.network.gateway': 'fd00:33:0:5::1/64' },
          }
        : {
            PoolID: 'scripted',
            Pool: SubPool === '' ? '10.33.5.0/24' : SubPool,
            Data: { 'com.docker.network.gateway': '10.33.5.1/24' },
          },
    releasePool: async () => {},
    requestAddress: async ({ PoolID, Address }) =>
      PoolID === 'scripted6'
        ? { Address: `${Address === '' ? `fd00:33:0:5::${(last += 1)}` : Address}/64` }
        : { Address: `${Address === '' ? `10.33.5.${(last += 1)}` : Address}/16` },
    releaseAddress: async () => {},
    ...own,
  }
}
