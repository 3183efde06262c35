import { Agent, request } from 'node:http'

export interface Reply {
  readonly status: number
  readonly type: string | undefined
  readonly body: string
  /** The body as a JSON object, or an empty one when it is not. */
  readonly json: Record<string, unknown>
}

export interface CallOptions {
  /** "" as Docker 20.10 sends it, or "plugin.moby.localhost" as later releases do. */
  readonly host?: string
  readonly httpMethod?: string
  /** Sent as it is, in place of the JSON of `body`. */
  readonly raw?: string
}

/** Speaks to a plugin as dockerd does (moby pkg/plugins): kept connections, no Content-Type. */
export class UnixClient {
  readonly #agent = new Agent({ keepAlive: true })
  readonly #socketPath: string
  readonly #sockets = new Set<object>()

  constructor(socketPath: string) {
    this.#socketPath = socketPath
  }

  /** How many connections the calls so far needed. */
  get connections(): number {
    return this.#sockets.size
  }

  call(method: string, body?: unknown, options: CallOptions = {}): Promise<Reply> {
    const bytes = Buffer.from(options.raw ?? (body === undefined ? '' : JSON.stringify(body)))
    const { promise, resolve, reject } = Promise.withResolvers<Reply>()
    const outgoing = request({
      agent: this.#agent,
      socketPath: this.#socketPath,
      path: `/${method}`,
      method: options.httpMethod ?? 'POST',
      headers: {
        host: options.host ?? '',
        'user-agent': 'Go-http-client/1.1',
        accept: 'application/vnd.docker.plugins.v1.2+json',
        'content-length': bytes.length,
      },
    })
    outgoing.on('socket', (socket) => this.#sockets.add(socket))
    outgoing.on('error', reject)
    outgoing.on('response', (incoming) => {
      const chunks: Buffer[] = []
      incoming.on('data', (chunk: Buffer) => chunks.push(chunk))
      incoming.on('error', reject)
      incoming.on('end', () => {
        const text = Buffer.concat(chunks).toString('utf8')
        resolve({
          status: incoming.statusCode ?? 0,
          type: incoming.headers['content-type'],
          body: text,
          json: parseObject(text),
        })
      })
    })
    outgoing.end(bytes)
    return promise
  }

  [Symbol.dispose](): void {
    this.#agent.destroy()
  }
}

function parseObject(text: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(text)
    return isObject(value) ? value : {}
  } catch {
    return {}
  }
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
