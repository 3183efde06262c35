import { once } from 'node:events'
import { createServer, type Server, type ServerResponse } from 'node:http'
import type { Socket } from 'node:net'

/** The two corners of Docker's API that are watched: the event stream and the list of networks. */
export class FakeDocker {
  readonly networks = new Map<string, { Name: string; Driver: string }>()
  /** While false, requests are accepted and never answered, as dockerd does while it boots. */
  answering = true
  /** Called between the subscription and the list. */
  beforeList: () => void = () => {}
  filters: unknown = null
  readonly #socketPath: string
  readonly #streams = new Set<ServerResponse>()
  readonly #sockets = new Set<Socket>()
  #server: Server | null = null

  constructor(socketPath: string) {
    this.#socketPath = socketPath
  }

  get subscribers(): number {
    return this.#streams.size
  }

  async start(): Promise<void> {
    this.#server = createServer((request, response) => {
      if (!this.answering) return
      const url = new URL(request.url ?? '/', 'http://docker')
      if (url.pathname === '/events') {
        this.filters = JSON.parse(url.searchParams.get('filters') ?? 'null')
        response.writeHead(200, { 'content-type': 'application/json' }).flushHeaders()
        this.#streams.add(response)
        response.on('close', () => this.#streams.delete(response))
      } else if (url.pathname === '/networks') {
        this.beforeList()
        const list = [...this.networks].map(([Id, network]) => ({ Id, ...network }))
        response.end(JSON.stringify(list))
      } else {
        response.writeHead(404).end('{"message":"page not found"}')
      }
    })
    this.#server.on('connection', (socket) => {
      this.#sockets.add(socket)
      socket.on('close', () => this.#sockets.delete(socket))
    })
    this.#server.listen(this.#socketPath)
    await once(this.#server, 'listening')
  }

  async stop(): Promise<void> {
    const server = this.#server
    if (server === null) return
    this.#server = null
    for (const socket of this.#sockets) socket.destroy()
    server.close()
    await once(server, 'close')
  }

  write(text: string): void {
    for (const stream of this.#streams) stream.write(text)
  }

  send(type: string, action: string, id: string, attributes: Record<string, string>): void {
    const actor = { ID: id, Attributes: attributes }
    this.write(`${JSON.stringify({ Type: type, Action: action, Actor: actor, scope: 'local' })}\n`)
  }

  /** A network as `docker network create` makes it: listed and announced. */
  create(id: string, name: string, driver = 'overlay-ts'): void {
    this.networks.set(id, { Name: name, Driver: driver })
    this.send('network', 'create', id, { name, type: driver })
  }
}
