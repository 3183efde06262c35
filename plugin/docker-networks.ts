import type Docker from 'dockerode'
import { z } from 'zod'
import type { KnownEndpoint, KnownNetwork, KnownNetworks } from '../src/control/known-networks.ts'
import { settlesWithin } from '../src/control/patience.ts'
import { isDriver } from './docker-event.ts'
import { goFlag, goStrings, goText } from './go-json.ts'
import { egressOption, mtuOption } from './options.ts'
import type { NetworkIpam } from './unheeded-options.ts'

/** Docker answers a list within that; while it boots it does not answer at all. */
const CALL_MS = 10_000

/** `GET /networks/{id}` (Docker Engine API), as far as it is used. */
const networkSchema = z.object({
  Id: z.string().min(1),
  Name: z.string(),
  Scope: goText,
  Internal: goFlag,
  /** From Docker 28 on; before that every network had IPv4. */
  EnableIPv4: z
    .boolean()
    .nullish()
    .transform((value) => value ?? true),
  IPAM: z.object({
    Driver: goText,
    Options: goStrings,
    Config: z
      .array(z.object({ Subnet: goText, Gateway: goText, AuxiliaryAddresses: goStrings }))
      .nullish(),
  }),
  Options: goStrings,
  /** By container; attachments that outlived their container are called "ep-…". */
  Containers: z
    .record(
      z.string(),
      z.object({
        EndpointID: goText,
        MacAddress: goText,
        IPv4Address: goText,
        IPv6Address: goText,
      }),
    )
    .nullish(),
})

/** `GET /containers/{id}/json`. */
const containerSchema = z.object({
  State: z.object({ Running: goFlag }),
  NetworkSettings: z.object({ SandboxKey: goText }),
})

export interface DockerNetworksOptions {
  readonly docker: Docker
  readonly isOurDriver: (name: string) => boolean
  /** The name that networks of ours have as their IPAM driver. */
  readonly driver: string
  /** Asked first: a dockerd that is away or boots is not asked at all. */
  readonly isConnected: () => boolean
}

export interface DockerNetworks extends KnownNetworks {
  /** null: Docker has no such network (any more). @throws when it cannot be asked now */
  ipamOf(networkId: string): Promise<NetworkIpam | null>
}

/** This host's networks as Docker has them. */
export function dockerNetworks(options: DockerNetworksOptions): DockerNetworks {
  const { docker, isOurDriver, driver } = options
  /** Not every call of dockerode can be given up itself. */
  const ask = async <T>(call: () => Promise<T>): Promise<T> => {
    if (!options.isConnected()) throw new Error('Docker is not connected')
    const answer = call()
    if (
      await settlesWithin(
        answer.catch(() => undefined),
        CALL_MS,
      )
    )
      return answer
    throw new Error(`Docker did not answer within ${CALL_MS / 1000} s`)
  }
  /** null: gone meanwhile. */
  const shown = async (thing: { inspect(): Promise<unknown> }): Promise<unknown> =>
    ask(() => thing.inspect()).catch(unlessMissing)
  return {
    async list() {
      const all = await ask(() => docker.listNetworks())
      const known: KnownNetwork[] = []
      for (const { Id, Driver } of all) {
        if (!isOurDriver(Driver)) continue
        const answer = await shown(docker.getNetwork(Id))
        const network = answer === null ? null : knownNetwork(answer, driver)
        if (network !== null) known.push(network)
      }
      return known
    },
    async ipamOf(networkId) {
      const answer = await shown(docker.getNetwork(networkId))
      if (answer === null) return null
      const { Name, IPAM } = networkSchema.parse(answer)
      return { name: Name, driver: IPAM.Driver, options: IPAM.Options }
    },
    async sandboxOf(containerId) {
      const answer = await shown(docker.getContainer(containerId))
      if (answer === null) return null
      const { State, NetworkSettings } = containerSchema.parse(answer)
      return State.Running ? NetworkSettings.SandboxKey || null : null
    },
  }
}

/**
 * What Docker says of one network, in our terms.
 * @returns null for a network of a swarm that has no task on this host: only its managers know of it
 */
export function knownNetwork(answer: unknown, driver: string): KnownNetwork | null {
  const { Id, Name, Scope, Internal, EnableIPv4, IPAM, Options, Containers } =
    networkSchema.parse(answer)
  if (Scope === 'swarm' && !Containers) return null
  const configs = IPAM.Config ?? []
  const config = configs.find(({ Subnet }) => !Subnet.includes(':'))
  const config6 = configs.find(({ Subnet }) => Subnet.includes(':'))
  const ipam =
    IPAM.Driver === 'null' ? 'null' : isDriver(IPAM.Driver, driver) ? 'overlay-ts' : 'docker'
  const bare = (address: string): string => address.replace(/\/\d+$/, '')
  return {
    id: Id,
    name: Name,
    ipam,
    internal: Internal,
    ipv4: EnableIPv4,
    mtu: mtuOption(Options),
    egress: egressOption(Options),
    subnet: config?.Subnet || null,
    gateway: bare(config?.Gateway ?? '') || null,
    subnet6: config6?.Subnet || null,
    gateway6: bare(config6?.Gateway ?? '') || null,
    reserved: configs.flatMap(({ AuxiliaryAddresses }) =>
      Object.values(AuxiliaryAddresses).map(bare),
    ),
    endpoints: Object.entries(Containers ?? {}).flatMap(([containerId, attachment]) => {
      const { EndpointID: id, MacAddress: mac, IPv4Address, IPv6Address } = attachment
      const [address, address6] = [IPv4Address || null, IPv6Address || null]
      const hasAddress = EnableIPv4 ? address !== null : address6 !== null
      const isWhole = id !== '' && mac !== '' && hasAddress && !containerId.startsWith('ep-')
      return isWhole ? [{ id, containerId, address, address6, mac } satisfies KnownEndpoint] : []
    }),
  }
}

/** Docker's word that the thing asked for is gone. */
function unlessMissing(error: unknown): null {
  if ((error as { statusCode?: number }).statusCode === 404) return null
  throw error
}
