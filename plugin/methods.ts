import type { z } from 'zod'
import { OverlayError } from '../src/errors.ts'
import type { IpamDriver, NetworkDriver } from './drivers.ts'
import * as ipamMessages from './ipam-messages.ts'
import * as networkMessages from './network-messages.ts'
import { complaint } from './complaint.ts'

/** What dockerd may call, by path without the slash: the bytes of a body in, the answer out. */
export type Methods = ReadonlyMap<string, (body: Buffer) => Promise<object>>

/** What this program implements, in the plugin protocol's words (moby pkg/plugins). */
const ACTIVATION = { Implements: ['NetworkDriver', 'IpamDriver'] }

/** Every method of the protocol: its path, the schema of its request, who answers. */
export function methodsOf(network: NetworkDriver, ipam: IpamDriver): Methods {
  const { endpointRequest, discoveryRequest } = networkMessages
  return new Map([
    asking('Plugin.Activate', async () => ACTIVATION),

    asking('NetworkDriver.GetCapabilities', () => network.getCapabilities()),
    taking('NetworkDriver.GwAllocCheck', networkMessages.gwAllocCheckRequest, (request) =>
      network.gwAllocCheck(request),
    ),
    taking('NetworkDriver.AllocateNetwork', networkMessages.allocateNetworkRequest, (request) =>
      network.allocateNetwork(request),
    ),
    taking('NetworkDriver.FreeNetwork', networkMessages.freeNetworkRequest, (request) =>
      network.freeNetwork(request),
    ),
    taking('NetworkDriver.CreateNetwork', networkMessages.createNetworkRequest, (request) =>
      network.createNetwork(request),
    ),
    taking('NetworkDriver.DeleteNetwork', networkMessages.deleteNetworkRequest, (request) =>
      network.deleteNetwork(request),
    ),
    taking('NetworkDriver.CreateEndpoint', networkMessages.createEndpointRequest, (request) =>
      network.createEndpoint(request),
    ),
    taking('NetworkDriver.DeleteEndpoint', endpointRequest, (request) =>
      network.deleteEndpoint(request),
    ),
    taking('NetworkDriver.EndpointOperInfo', endpointRequest, (request) =>
      network.endpointOperInfo(request),
    ),
    taking('NetworkDriver.Join', networkMessages.joinRequest, (request) => network.join(request)),
    taking('NetworkDriver.Leave', endpointRequest, (request) => network.leave(request)),
    taking(
      'NetworkDriver.ProgramExternalConnectivity',
      networkMessages.programExternalConnectivityRequest,
      (request) => network.programExternalConnectivity(request),
    ),
    taking('NetworkDriver.RevokeExternalConnectivity', endpointRequest, (request) =>
      network.revokeExternalConnectivity(request),
    ),
    taking('NetworkDriver.DiscoverNew', discoveryRequest, (request) =>
      network.discoverNew(request),
    ),
    taking('NetworkDriver.DiscoverDelete', discoveryRequest, (request) =>
      network.discoverDelete(request),
    ),

    asking('IpamDriver.GetCapabilities', () => ipam.getCapabilities()),
    asking('IpamDriver.GetDefaultAddressSpaces', () => ipam.getDefaultAddressSpaces()),
    taking('IpamDriver.RequestPool', ipamMessages.requestPoolRequest, (request) =>
      ipam.requestPool(request),
    ),
    taking('IpamDriver.ReleasePool', ipamMessages.releasePoolRequest, (request) =>
      ipam.releasePool(request),
    ),
    taking('IpamDriver.RequestAddress', ipamMessages.requestAddressRequest, (request) =>
      ipam.requestAddress(request),
    ),
    taking('IpamDriver.ReleaseAddress', ipamMessages.releaseAddressRequest, (request) =>
      ipam.releaseAddress(request),
    ),
  ])
}

type Entry = [path: string, call: (body: Buffer) => Promise<object>]

/** A method without arguments: dockerd sends it an empty body. */
function asking(path: string, answer: () => Promise<object>): Entry {
  return [path, () => answer()]
}

/** A method with arguments. One that answers nothing answers `{}`: dockerd wants a JSON object. */
function taking<Schema extends z.ZodType>(
  path: string,
  schema: Schema,
  answer: (request: z.output<Schema>) => Promise<object | void>,
): Entry {
  return [
    path,
    async (body) => {
      const request = schema.safeParse(parseBody(path, body), { reportInput: true })
      if (!request.success) throw new OverlayError('bad_request', complaint(path, request.error))
      return (await answer(request.data)) ?? {}
    },
  ]
}

function parseBody(path: string, body: Buffer): unknown {
  if (body.length === 0) {
    throw new OverlayError(
      'bad_request',
      `${path} came without its arguments: dockerd lost the connection and repeated the call with ` +
        'an empty body (moby issue 35459); run the docker command again',
    )
  }
  try {
    return JSON.parse(body.toString('utf8'))
  } catch (error) {
    throw new OverlayError(
      'bad_request',
      `${path} wants a JSON object, found ${excerpt(body)}: ${String(error)}`,
      { cause: error },
    )
  }
}

function excerpt(body: Buffer): string {
  const text = body.toString('utf8', 0, 40)
  return JSON.stringify(body.length > 40 ? `${text}…` : text)
}
