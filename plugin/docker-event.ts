import { z } from 'zod'

/** What this program learns from Docker, beside what dockerd asks of it. */
export type DockerEvent =
  /** The stream of events runs; `networks` are all of ours that Docker has now. */
  | { readonly kind: 'connected'; readonly networks: readonly DockerNetwork[] }
  | { readonly kind: 'disconnected'; readonly reason: string }
  /** Made just now, or found when the stream (re)started. Said once for each network. */
  | ({ readonly kind: 'networkCreated' } & DockerNetwork)
  | ({ readonly kind: 'networkDestroyed' } & DockerNetwork)
  | {
      readonly kind: 'containerConnected'
      readonly networkId: string
      readonly containerId: string
    }
  | {
      readonly kind: 'containerDisconnected'
      readonly networkId: string
      readonly containerId: string
    }
  | { readonly kind: 'containerStarted'; readonly containerId: string; readonly name: string }
  | { readonly kind: 'containerDied'; readonly containerId: string; readonly name: string }

export interface DockerNetwork {
  readonly id: string
  readonly name: string
}

/** What is asked of Docker's event stream. */
export const EVENT_FILTERS = {
  type: ['network', 'container'],
  event: ['create', 'destroy', 'connect', 'disconnect', 'start', 'die'],
}

/** A line of `GET /events` (Docker Engine API, system events). */
const message = z.object({
  Type: z.string(),
  Action: z.string(),
  Actor: z.object({ ID: z.string().min(1), Attributes: z.record(z.string(), z.string()) }),
})

/** A line of the event stream, or null when it is not about us. @throws when it is no event at all */
export function parseDockerEvent(
  line: string,
  isOurDriver: (driver: string) => boolean,
): DockerEvent | null {
  const { Type, Action, Actor } = message.parse(JSON.parse(line))
  const { ID: id, Attributes: attributes } = Actor
  const name = attributes['name'] ?? ''
  if (Type === 'container') {
    if (Action === 'start') return { kind: 'containerStarted', containerId: id, name }
    if (Action === 'die') return { kind: 'containerDied', containerId: id, name }
    return null
  }
  if (Type !== 'network' || !isOurDriver(attributes['type'] ?? '')) return null
  const containerId = attributes['container'] ?? ''
  switch (Action) {
    case 'create':
      return { kind: 'networkCreated', id, name }
    case 'destroy':
      return { kind: 'networkDestroyed', id, name }
    case 'connect':
      return { kind: 'containerConnected', networkId: id, containerId }
    case 'disconnect':
      return { kind: 'containerDisconnected', networkId: id, containerId }
    default:
      return null
  }
}

/**
 * Whether Docker's name for a network's driver means the plugin called `name`: a plugin found by its
 * socket has just that name, a managed one has "registry/name:tag".
 */
export function isDriver(driver: string, name: string): boolean {
  const last = driver.slice(driver.lastIndexOf('/') + 1)
  return last === name || last.startsWith(`${name}:`)
}
