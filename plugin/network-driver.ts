import type { Controller } from '../src/control/controller.ts'
import { settlesWithin } from '../src/control/patience.ts'
import { OverlayError } from '../src/errors.ts'
import { askedAddresses } from './asked-addresses.ts'
import type { NetworkDriver } from './drivers.ts'
import { subnetFor } from './network-subnet.ts'
import { readNetworkOptions, refuseUnknownOptions } from './options.ts'
import { portWishes } from './port-wishes.ts'

/** How long a container waits for a plugin that has just started. */
const FIRST_RUN_MS = 4000

/** What of the overlay network the driver speaks with. */
type NetworkSide = Pick<
  Controller,
  'networks' | 'endpoints' | 'ports' | 'subnets' | 'journal' | 'mirror'
> & {
  readonly reconciler: Pick<Controller['reconciler'], 'firstRun' | 'attempt'>
}

export interface NetworkDriverParts {
  readonly controller: NetworkSide
  /** Whether Docker's event stream can tell a network's name. Never blocks. */
  readonly canLearnNames: () => boolean
  /** @throws OverlayError if no container may start in this network */
  readonly refuseNetwork?: (networkId: string) => void
}

/**
 * How long a plugin that has just started keeps dockerd waiting for the map: until then nothing steers
 * Docker's choice of a subnet away from those that other hosts have.
 */
const FIRST_MAP_MS = 3000

/**
 * libnetwork's remote network driver (moby daemon/libnetwork/docs/remote.md) in terms of an overlay
 * network. Scope is local, since every host leases for itself; the connectivity is global.
 */
export function createNetworkDriver(parts: NetworkDriverParts): NetworkDriver {
  const { controller } = parts
  const { networks, endpoints, ports } = controller

  return {
    /** dockerd asks this once, when it meets the driver, and then chooses the subnet of a plain network. */
    async getCapabilities() {
      if (await controller.mirror.ready(FIRST_MAP_MS)) await controller.reconciler.attempt()
      return { Scope: 'local', ConnectivityScope: 'global' }
    },

    gwAllocCheck: async () => ({ SkipIPv4: false, SkipIPv6: false }),

    async createNetwork(request) {
      const generic = request.Options['com.docker.network.generic']
      const options = readNetworkOptions(generic)
      const asked = askedAddresses(request)
      const ipv4 = asked.ipv4 !== null
      if (options.egress === 'bridge' && !ipv4) throw noWayOut()
      await networks.create(
        {
          id: request.NetworkID,
          ipam: asked.ipam,
          internal: request.Options['com.docker.network.internal'],
          ipv4,
          ipv6: asked.hasIpv6,
          mtu: options.mtu,
          egress: options.egress,
        },
        async () => {
          // Here, since a network that is known is asked for again with what was accepted once.
          refuseUnknownOptions('-o', generic)
          return subnetFor(controller, asked, options, parts.canLearnNames)
        },
      )
    },

    deleteNetwork: ({ NetworkID }) => networks.delete(NetworkID),

    async createEndpoint({ NetworkID, EndpointID, Interface }) {
      parts.refuseNetwork?.(NetworkID)
      // After a reboot Docker starts its containers before the bridges are there again.
      await settlesWithin(controller.reconciler.firstRun, FIRST_RUN_MS)
      const { address, address6, mac, answered } = await endpoints.create({
        id: EndpointID,
        networkId: NetworkID,
        address: Interface.Address || null,
        address6: Interface.AddressIPv6 || null,
        mac: Interface.MacAddress || null,
      })
      return {
        Interface: {
          ...(answered.address && { Address: address }),
          ...(answered.address6 && address6 !== null && { AddressIPv6: address6 }),
          ...(answered.mac && { MacAddress: mac }),
        },
      }
    },

    deleteEndpoint: ({ EndpointID }) => endpoints.delete(EndpointID),

    endpointOperInfo: async () => ({ Value: {} }),

    /**
     * Without a Gateway Docker adds docker_gwbridge, which carries egress and published ports. There is no
     * gateway of IPv6 in either case: the way out is IPv4.
     */
    async join({ EndpointID, SandboxKey }) {
      const attachment = await endpoints.join(EndpointID, SandboxKey)
      const { link, gateway, routes, internal, egress } = attachment
      return {
        InterfaceName: { SrcName: link, DstPrefix: 'eth' },
        StaticRoutes: routes.map(({ to, via }) => ({
          Destination: to,
          RouteType: 0 as const,
          NextHop: via,
        })),
        ...(internal
          ? { DisableGatewayService: true }
          : egress === 'bridge' && { Gateway: gateway }),
      }
    },

    async leave({ EndpointID }) {
      // Docker 29 does not revoke what was programmed before it was restarted.
      await ports.revoke(EndpointID)
      await endpoints.leave(EndpointID)
    },

    programExternalConnectivity: ({ EndpointID, Options }) =>
      ports.program(EndpointID, portWishes(Options['com.docker.network.portmap'])),
    revokeExternalConnectivity: ({ EndpointID }) => ports.revoke(EndpointID),

    // Swarm managers ask these of drivers with global scope only, and discovery is etcd's.
    allocateNetwork: async ({ Options }) => ({ Options }),
    freeNetwork: async () => {},
    discoverNew: async () => {},
    discoverDelete: async () => {},
  }
}

const noWayOut = (): OverlayError =>
  new OverlayError(
    'unsupported',
    '-o gateway=bridge leads out by IPv4 alone, which this network does not have (--ipv4=false); leave one of the two out',
  )
