import { once } from 'node:events'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import { UnixClient } from './unix-client.ts'

/** A call as conversations of test/golden/libnetwork hold it, with the values that went over the wire. */
export interface RecordedCall {
  readonly call: string
  /** Missing: an empty body. */
  readonly with?: unknown
  readonly status: number
  readonly answers: Readonly<Record<string, unknown>>
}

/**
 * Stands between dockerd and a plugin, hands every call on and keeps it. How the recorded conversations
 * came about; as a program: node test/support/record-libnetwork.ts SOCKET BEHIND, a call a line.
 */
export class LibnetworkRecorder implements AsyncDisposable {
  readonly calls: RecordedCall[] = []
  readonly #server: Server
  readonly #sockets = new Set<Socket>()
  readonly #behind: UnixClient

  private constructor(behind: string, onCall: (call: RecordedCall) => void) {
    this.#behind = new UnixClient(behind)
    this.#server = createServer((request, response) => void this.#handOn(request, response, onCall))
    // dockerd keeps its connections open between calls, however far apart.
    this.#server.keepAliveTimeout = 0
    this.#server.on('connection', (socket) => {
      this.#sockets.add(socket)
      socket.on('close', () => this.#sockets.delete(socket))
    })
  }

  /** Listens where dockerd looks for the plugin; the plugin listens at `behind`. */
  static async start(
    socketPath: string,
    behind: string,
    onCall: (call: RecordedCall) => void = () => {},
  ): Promise<LibnetworkRecorder> {
    const recorder = new LibnetworkRecorder(behind, onCall)
    recorder.#server.listen(socketPath)
    await once(recorder.#server, 'listening')
    return recorder
  }

  async #handOn(
    request: IncomingMessage,
    response: ServerResponse,
    onCall: (call: RecordedCall) => void,
  ): Promise<void> {
    try {
      const body = (await request.toArray()).join('')
      const call = (request.url ?? '/').slice(1)
      const { status, body: text, json } = await this.#behind.call(call, undefined, { raw: body })
      const asked = body === '' ? {} : { with: JSON.parse(body) as unknown }
      const recorded = { call, ...asked, status, answers: json }
      this.calls.push(recorded)
      onCall(recorded)
      response.writeHead(status, { 'content-type': 'application/json' }).end(text)
    } catch {
      // dockerd calls again when a plugin hangs up.
      response.destroy()
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = once(this.#server, 'close')
    this.#server.close()
    for (const socket of this.#sockets) socket.destroy()
    await closed
    this.#behind[Symbol.dispose]()
  }
}

// Started as a program, not imported for its types.
if (process.argv[1] === import.meta.filename) {
  const [socketPath = '', behind = ''] = process.argv.slice(2)
  await LibnetworkRecorder.start(socketPath, behind, (call) => console.log(JSON.stringify(call)))
}
