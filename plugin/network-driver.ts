import type { Controller } from '../src/control/controller.ts'
import type { HeldSubnet, Network } from '../src/control/journal.ts'
import { settlesWithin } from '../src/control/patience.ts'
import type { SubnetWish } from '../src/control/subnet-wish.ts'
import { OverlayError } from '../src/errors.ts'
import { parseCidr, parseInterfaceAddress } from '../src/net/cidr.ts'
import { formatIpv4 } from '../src/net/ipv4.ts'
import type { NetworkDriver } from './drivers.ts'
import { ADDRESS_SPACE } from './ipam-driver.ts'
import type { CreateNetworkRequest, IpamData } from './network-messages.ts'
import { readNetworkOptions, refuseUnknownOptions, type NetworkOptionValues } from './options.ts'
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
      const data = onlyIpv4(request)
      const ipam = ipamOf(data)
      await networks.create(
        {
          id: request.NetworkID,
          ipam,
          internal: request.Options['com.docker.network.internal'],
          mtu: options.mtu,
          egress: options.egress,
        },
        async () => {
          // Here, since a network that is known is asked for again with what was accepted once.
          refuseUnknownOptions('-o', generic)
          return subnetFor(parts, ipam, data, options)
        },
      )
    },

    deleteNetwork: ({ NetworkID }) => networks.delete(NetworkID),

    async createEndpoint({ NetworkID, EndpointID, Interface }) {
      if (Interface.AddressIPv6 !== '') throw noIpv6()
      // After a reboot Docker starts its containers before the bridges are there again.
      await settlesWithin(controller.reconciler.firstRun, FIRST_RUN_MS)
      const { address, mac, answered } = await endpoints.create({
        id: EndpointID,
        networkId: NetworkID,
        address: Interface.Address || null,
        mac: Interface.MacAddress || null,
      })
      return {
        Interface: {
          ...(answered.address && { Address: address }),
          ...(answered.mac && { MacAddress: mac }),
        },
      }
    },

    deleteEndpoint: ({ EndpointID }) => endpoints.delete(EndpointID),

    endpointOperInfo: async () => ({ Value: {} }),

    /** Without a Gateway Docker adds docker_gwbridge, which carries egress and published ports. */
    async join({ EndpointID, SandboxKey }) {
      const attachment = await endpoints.join(EndpointID, SandboxKey)
      const { link, gateway, routes, internal, egress } = attachment
      return {
        InterfaceName: { SrcName: link, DstPrefix: 'eth' },
        StaticRoutes: routes.map((route) => ({
          Destination: route,
          RouteType: 0 as const,
          NextHop: gateway,
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

function onlyIpv4({ Options, IPv4Data, IPv6Data }: CreateNetworkRequest): IpamData {
  if (Options['com.docker.network.enable_ipv6'] || IPv6Data.length > 0) throw noIpv6()
  const [data, second] = IPv4Data
  if (!data || !Options['com.docker.network.enable_ipv4']) {
    throw new OverlayError(
      'unsupported',
      'overlay-ts needs IPv4 in every network; leave --ipv4=false out',
    )
  }
  if (second) {
    throw new OverlayError(
      'unsupported',
      `a network of overlay-ts has one subnet on each host, and this command asks for ${IPv4Data.map((d) => d.Pool).join(' and ')}; give one --subnet, and make a second network for another`,
    )
  }
  return data
}

const noIpv6 = (): OverlayError =>
  new OverlayError(
    'unsupported',
    'IPv6 networks are not supported by overlay-ts yet: leave --ipv6 out',
  )

function ipamOf({ AddressSpace, Pool }: IpamData): Network['ipam'] {
  if (AddressSpace === ADDRESS_SPACE) return 'overlay-ts'
  return AddressSpace === 'null' || Pool === '' || Pool === '0.0.0.0/0' ? 'null' : 'docker'
}

/** The subnet that the network lives in: leased by RequestPool already, or leased here. */
async function subnetFor(
  { controller, canLearnNames }: NetworkDriverParts,
  ipam: Network['ipam'],
  data: IpamData,
  options: NetworkOptionValues,
): Promise<HeldSubnet> {
  const { overlay } = options
  if (ipam === 'overlay-ts') return leasedSubnet(controller, data.Pool, options, canLearnNames)
  refuseNamelessVni(options)
  if (overlay === null && !canLearnNames()) throw nameUnknowable()
  const wish = ipam === 'null' ? nullWish(controller, options) : dockerWish(data, options)
  const gateway = data.Gateway === '' ? null : formatIpv4(parseInterfaceAddress(data.Gateway).ip)
  return controller.subnets.lease(wish, ipam === 'docker' ? gateway : null)
}

async function leasedSubnet(
  { journal, subnets }: NetworkSide,
  pool: string,
  { overlay, vni, subnetLength }: NetworkOptionValues,
  canLearnNames: () => boolean,
): Promise<HeldSubnet> {
  const held = journal.subnets.get(pool)
  if (!held) {
    throw new OverlayError(
      'not_found',
      `this host does not hold the subnet ${pool} (any more); create the network again`,
    )
  }
  if (overlay !== null && held.overlay !== null && held.overlay !== overlay) {
    throw new OverlayError(
      'conflict',
      `-o overlay=${overlay} contradicts --ipam-opt overlay=${held.overlay}; give the same name to both, or leave -o out`,
    )
  }
  refuseOtherLength(subnetLength, parseCidr(pool).length, 'write it as --ipam-opt subnet-len=')
  if (held.overlay === null) refuseNamelessVni({ overlay, vni })
  else if (vni !== null && held.vni !== vni) {
    throw new OverlayError(
      'conflict',
      `-o vni=${vni} comes after the overlay ${held.overlay} got the VNI ${held.vni}; choose that of a new overlay with --ipam-opt vni=${vni} instead`,
    )
  }
  if (held.overlay === null && overlay !== null) {
    await subnets.name(held.subnet, overlay, vni)
    const refusal = subnets.refusal(held.subnet)
    if (refusal) throw refusal
  }
  if (held.overlay === null && overlay === null && !canLearnNames()) throw nameUnknowable()
  return held
}

/** `--ipam-driver null`: the addresses are ours to give, in the overlay's pool if it has one. */
function nullWish(
  controller: NetworkSide,
  { overlay, vni, subnetLength }: NetworkOptionValues,
): SubnetWish {
  const known = overlay === null ? undefined : controller.mirror.view().overlays.get(overlay)
  return overlay !== null && known?.pool
    ? { kind: 'pooled', overlay, vni, pool: null, poolLength: null, subnetLength, subnet: null }
    : { kind: 'routed', overlay, vni, subnetLength }
}

function dockerWish(
  { Pool }: IpamData,
  { overlay, vni, subnetLength }: NetworkOptionValues,
): SubnetWish {
  const subnet = parseCidr(Pool)
  refuseOtherLength(
    subnetLength,
    subnet.length,
    'write --subnet, or add --ipam-driver overlay-ts and write --ipam-opt subnet-len=',
  )
  return { kind: 'docker', subnet, overlay, vni }
}

/** A VNI is an overlay's, so it can be chosen only where the overlay is named at once. */
function refuseNamelessVni({ overlay, vni }: Pick<NetworkOptionValues, 'overlay' | 'vni'>): void {
  if (vni === null || overlay !== null) return
  throw new OverlayError(
    'bad_input',
    `-o vni=${vni} needs the name of the overlay that it is for: add -o overlay=NAME`,
  )
}

/** Where the subnet was chosen before, -o subnet-len= can only say what it is. */
function refuseOtherLength(wanted: number | null, found: number, remedy: string): void {
  if (wanted === null || wanted === found) return
  throw new OverlayError(
    'bad_input',
    `-o subnet-len=${wanted} comes after this host's subnet was chosen, which is a /${found}; ${remedy}`,
  )
}

const nameUnknowable = (): OverlayError =>
  new OverlayError(
    'unsupported',
    "overlay-ts cannot learn this network's name, since Docker's event stream is not reachable (DOCKER_HOST); name the overlay: docker network create -d overlay-ts -o overlay=NAME NAME",
  )
