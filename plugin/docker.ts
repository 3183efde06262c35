import { existsSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import Docker from 'dockerode'
import { messageOf } from '../src/errors.ts'
import type { Log } from '../src/log.ts'
import { dockerNetworks, type DockerNetworks } from './docker-networks.ts'
import { EVENT_FILTERS, isDriver, parseDockerEvent, type DockerEvent } from './docker-event.ts'

/** A call to Docker's API that takes longer is given up; while dockerd boots, all do. */
const CALL_MS = 10_000
const FIRST_RETRY_MS = 200
const LAST_RETRY_MS = 10_000

/** Said once at the start, also where Docker only comes later, as at boot. */
const WITHOUT_DOCKER =
  "Docker's API does not answer; until it does, networks are made only with a name for their overlay " +
  '(-o overlay=NAME), and what Docker changes in its firewall is noticed within half a minute'

export interface DockerWatchOptions {
  /** "unix:///var/run/docker.sock" or "tcp://host:port" */
  readonly dockerHost: string
  /** The name that networks of ours have as their driver, "overlay-ts" unless SOCKET says otherwise. */
  readonly driver?: string
  readonly log: Log
  readonly onEvent: (event: DockerEvent) => void
}

/**
 * Docker's own account of networks and containers. It may be away, slow or booting, so nothing here
 * throws for that; and since dockerd holds locks while it calls a driver, nothing here may be
 * awaited by a handler of the plugin protocol.
 */
export interface DockerWatch {
  /** Whether the event stream runs now. */
  readonly connected: boolean
  /** Whether Docker's API seems to be there: a name can be expected to arrive. Never blocks. */
  reachable(): boolean
  /** Our networks as Docker has them, while the event stream runs. */
  readonly networks: DockerNetworks
  /** A network's name, from memory or from Docker; null when neither knows it. */
  networkName(id: string): Promise<string | null>
  stop(): Promise<void>
}

export function createDockerWatch(options: DockerWatchOptions): DockerWatch {
  const { log, driver = 'overlay-ts' } = options
  const { docker, socketPath } = clientOf(options.dockerHost)
  const isOurDriver = (name: string): boolean => isDriver(name, driver)
  const stopping = new AbortController()
  /** Names of our networks by id; a network is in it once it was announced. */
  const names = new Map<string, string>()
  let connected = false
  /** null until the first attempt is over. */
  let lastFailure: string | null = null

  function emit(event: DockerEvent): void {
    if (event.kind === 'networkCreated') {
      if (names.has(event.id)) return
      names.set(event.id, event.name)
    }
    if (event.kind === 'networkDestroyed') names.delete(event.id)
    try {
      options.onEvent(event)
    } catch (error) {
      log.error({ err: error, event: event.kind }, 'a Docker event could not be handled')
    }
  }

  function onLine(line: string): void {
    if (line === '') return
    try {
      const event = parseDockerEvent(line, isOurDriver)
      if (event !== null) emit(event)
    } catch (error) {
      log.debug({ error: messageOf(error) }, 'a line of the Docker event stream is no event')
    }
  }

  /** Subscribes first and lists then, so that no network falls between the two. */
  async function follow(): Promise<string> {
    const attempt = new AbortController()
    const signal = AbortSignal.any([attempt.signal, stopping.signal])
    const timer = setTimeout(() => attempt.abort(), CALL_MS)
    const events = { filters: JSON.stringify(EVENT_FILTERS), abortSignal: signal }
    try {
      const stream = await docker.getEvents(events)
      const over = Promise.withResolvers<string>()
      stream.on('error', (error) => over.resolve(messageOf(error)))
      stream.on('close', () => over.resolve('the event stream ended'))
      const found = await docker.listNetworks({ abortSignal: signal })
      clearTimeout(timer)
      const networks = found
        .filter((network) => isOurDriver(network.Driver))
        .map((network) => ({ id: network.Id, name: network.Name }))
      forgetOthers(networks.map(({ id }) => id))
      connected = true
      lastFailure = null
      emit({ kind: 'connected', networks })
      for (const network of networks) emit({ kind: 'networkCreated', ...network })
      // readline pauses the stream until here, so events of the meantime come after the list.
      const lines = createInterface({ input: stream })
      lines.on('line', onLine)
      // A broken stream is told here too, and unheard it would end the process.
      lines.on('error', () => {})
      return await over.promise
    } finally {
      clearTimeout(timer)
      attempt.abort()
    }
  }

  function forgetOthers(ids: readonly string[]): void {
    for (const id of names.keys()) if (!ids.includes(id)) names.delete(id)
  }

  async function run(): Promise<void> {
    let wait = FIRST_RETRY_MS
    while (!stopping.signal.aborted) {
      const reason = await follow().catch(messageOf)
      if (stopping.signal.aborted) break
      if (connected) {
        connected = false
        wait = FIRST_RETRY_MS
        log.warn({ reason }, 'Docker is gone; names of new networks stay unknown until it is back')
        emit({ kind: 'disconnected', reason })
      } else if (lastFailure === null) {
        log.warn({ reason, dockerHost: options.dockerHost }, WITHOUT_DOCKER)
      }
      lastFailure = reason
      // Full jitter: hosts that boot together do not ask together.
      await sleep(wait * (0.5 + Math.random() / 2), undefined, { signal: stopping.signal }).catch(
        () => {},
      )
      wait = Math.min(wait * 2, LAST_RETRY_MS)
    }
    connected = false
  }

  const running = run()

  return {
    get connected() {
      return connected
    },
    networks: dockerNetworks({ docker, isOurDriver, driver, isConnected: () => connected }),
    reachable() {
      if (connected) return true
      if (lastFailure !== null && /ECONNREFUSED|EACCES|ENOENT/.test(lastFailure)) return false
      return socketPath === null ? lastFailure === null : existsSync(socketPath)
    },
    async networkName(id) {
      const known = names.get(id)
      if (known !== undefined) return known
      try {
        // The filter is by prefix.
        const found = await docker.listNetworks({
          filters: { id: [id] },
          abortSignal: AbortSignal.timeout(CALL_MS),
        })
        return found.find((network) => network.Id === id)?.Name ?? null
      } catch (error) {
        log.debug({ network: id, error: messageOf(error) }, 'Docker does not name this network')
        return null
      }
    },
    async stop() {
      stopping.abort()
      await running
    },
  }
}

/** Every option is said, so that docker-modem does not look for them in the environment. */
function clientOf(dockerHost: string): { docker: Docker; socketPath: string | null } {
  if (dockerHost.startsWith('unix://')) {
    const socketPath = dockerHost.slice('unix://'.length)
    return { docker: new Docker({ socketPath, host: undefined, protocol: 'http' }), socketPath }
  }
  const { hostname, port } = new URL(dockerHost)
  return {
    docker: new Docker({ host: hostname, port: Number(port), protocol: 'http' }),
    socketPath: null,
  }
}
