import { messageOf, OverlayError } from '../errors.ts'
import { forgetDatagramFlows } from '../linux/forget-flows.ts'
import { isSamePort, portText, ReservedPorts, type HostPort } from '../linux/reserved-ports.ts'
import type { Log } from '../log.ts'
import type { Endpoints } from './endpoints.ts'
import type { Endpoint, Journal, OpenPort } from './journal.ts'
import { KeyedMutex } from './keyed-mutex.ts'
import type { Reconciler } from './reconciler.ts'

/** A port to publish; `from` to `to` is the range to choose the host's from, 0 for any. */
export interface PortWish {
  readonly protocol: OpenPort['protocol']
  readonly port: number
  readonly hostIp: string | null
  readonly from: number
  readonly to: number
}

export interface PublishedPortsOptions {
  readonly journal: Journal
  readonly endpoints: Pick<Endpoints, 'isInUse'>
  readonly reconciler: Pick<Reconciler, 'run' | 'attempt'>
  readonly log: Log
}

/**
 * The ports of this host at which containers of networks with a way out of their own are reached. The
 * journal says which; the rules follow from it, and so do the sockets that keep others from the ports.
 */
export class PublishedPorts {
  readonly #options: PublishedPortsOptions
  readonly #reserved = new ReservedPorts()
  readonly #mutex = new KeyedMutex()
  readonly #told = new Set<string>()

  constructor(options: PublishedPortsOptions) {
    this.#options = options
  }

  /**
   * Makes these the endpoint's ports, in place of those it had; asked again, it keeps what was chosen.
   * A network whose ports are Docker's is left alone.
   * @throws OverlayError not_found (unknown endpoint), conflict (in use), bad_input, host_state
   */
  async program(id: string, wishes: readonly PortWish[]): Promise<void> {
    const { reconciler, log } = this.#options
    const ports = await this.#mutex.run('ports', async () => {
      if (!this.#isOurs(id, wishes)) return null
      await this.#follow()
      return this.#choose(id, wishes)
    })
    if (ports === null) return
    try {
      await reconciler.run()
    } catch (error) {
      await this.revoke(id)
      throw error
    }
    await forgetDatagramFlows(ports).catch((error: unknown) => {
      log.info({ reason: messageOf(error) }, 'flows of earlier containers end by themselves')
    })
    for (const each of ports) {
      log.info({ endpoint: id, at: portText(each), port: each.port }, 'port published')
    }
  }

  /** The endpoint's ports are closed. Unknown is done already. */
  async revoke(id: string): Promise<void> {
    const { journal, reconciler } = this.#options
    if (!journal.endpoints.get(id)?.ports.length) return
    await this.#mutex.run('ports', async () => {
      await journal.endpoints.update(id, (record) => ({ ...record, ports: [] }))
      await this.#follow()
    })
    await reconciler.attempt()
  }

  /** Takes the ports of the journal, as after a start, and leaves those whose endpoint is gone. */
  follow(): Promise<void> {
    return this.#mutex.run('ports', () => this.#follow())
  }

  stop(): void {
    this.#reserved.releaseAll()
  }

  #isOurs(id: string, wishes: readonly PortWish[]): boolean {
    const { journal } = this.#options
    const endpoint = journal.endpoints.get(id)
    if (!endpoint) {
      if (wishes.length === 0) return false
      throw new OverlayError(
        'not_found',
        `this host has no record of the endpoint ${id.slice(0, 12)}, whose ports are to be published; start the container again`,
      )
    }
    const network = journal.networks.get(endpoint.networkId)
    if (network?.egress !== 'bridge' || network.internal) return false
    return wishes.length > 0 || endpoint.ports.length > 0
  }

  async #follow(): Promise<void> {
    const wanted = this.#options.journal.endpoints.values().flatMap(({ ports }) => ports)
    const texts = new Set(wanted.map(portText))
    for (const port of this.#reserved.values()) {
      if (!texts.has(portText(port))) this.#reserved.release(port)
    }
    for (const port of wanted) {
      if (this.#reserved.has(port)) continue
      try {
        await this.#reserved.reserve(port)
        this.#told.delete(portText(port))
      } catch (error) {
        // The rules come before any socket: the container goes on being reached.
        if (this.#told.has(portText(port))) continue
        this.#told.add(portText(port))
        this.#options.log.warn(
          { port: portText(port), reason: messageOf(error) },
          'a published port was taken by another program meanwhile; the container keeps it',
        )
      }
    }
  }

  async #choose(id: string, wishes: readonly PortWish[]): Promise<OpenPort[]> {
    const { journal } = this.#options
    const kept = [...(journal.endpoints.get(id)?.ports ?? [])]
    const chosen: OpenPort[] = []
    try {
      for (const wish of wishes) {
        const at = kept.findIndex((port) => answers(port, wish))
        const before = at === -1 ? undefined : kept.splice(at, 1)[0]
        const hostPort = before?.hostPort ?? (await this.#reserve(id, wish))
        const { protocol, port, hostIp } = wish
        chosen.push({ protocol, port, hostIp, hostPort })
      }
      await journal.endpoints.update(id, (record) => ({ ...record, ports: chosen }))
      return chosen
    } finally {
      // Of the old ones when all went well, of the new ones when not.
      await this.#follow()
    }
  }

  async #reserve(id: string, { protocol, hostIp, from, to }: PortWish): Promise<number> {
    for (let hostPort = from; ; hostPort++) {
      const port: HostPort = { protocol, hostIp, hostPort }
      try {
        await this.#refuseOther(id, port)
        return await this.#reserved.reserve(port)
      } catch (error) {
        const isTaken = error instanceof OverlayError && error.code === 'conflict'
        if (!isTaken || from === to) throw error
        if (hostPort >= to) throw noneFree({ protocol, hostIp, hostPort: from }, to, error)
      }
    }
  }

  /**
   * Docker does not always tell that a container is gone: the next one with its port takes it over.
   * @throws OverlayError conflict with one that is there
   */
  async #refuseOther(id: string, port: HostPort): Promise<void> {
    const { journal, endpoints } = this.#options
    for (const other of journal.endpoints.values()) {
      if (other.id === id || !other.ports.some((open) => isSamePort(open, port))) continue
      if (await endpoints.isInUse(other)) throw published(port, other)
      await journal.endpoints.update(other.id, (record) => ({ ...record, ports: [] }))
      for (const open of other.ports) this.#reserved.release(open)
    }
  }
}

/** Whether a port that is open is one that the wish would have been satisfied by. */
const answers = (open: OpenPort, { protocol, port, hostIp, from, to }: PortWish): boolean =>
  open.protocol === protocol &&
  open.port === port &&
  open.hostIp === hostIp &&
  (from === 0 || (open.hostPort >= from && open.hostPort <= to))

const published = (port: HostPort, { address }: Endpoint): OverlayError =>
  new OverlayError(
    'conflict',
    `the port ${portText(port)} of this host is published already, by the container at ${address.replace(/\/.*/, '')}; publish at another one, or give none (-p CONTAINER_PORT) for one that is free`,
  )

const noneFree = (first: HostPort, to: number, cause: unknown): OverlayError =>
  new OverlayError(
    'conflict',
    `the ports ${first.hostPort} to ${to}/${first.protocol} of this host are all in use already (ss -lnp shows by whom); give another range, or none (-p CONTAINER_PORT) for one that is free`,
    { cause },
  )
