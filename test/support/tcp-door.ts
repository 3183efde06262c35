import { once } from 'node:events'
import { connect, createServer, type Server, type Socket } from 'node:net'

/** A port that leads to a server on 127.0.0.1 and can be shut, as if that server had ended. */
export class TcpDoor implements AsyncDisposable {
  readonly #server: Server
  readonly #target: number
  readonly #sockets = new Set<Socket>()
  /** Settles when somebody came to the shut door; null while it is open. */
  #turnedAway: PromiseWithResolvers<void> | null = null

  private constructor(target: number) {
    this.#target = target
    this.#server = createServer((socket) => this.#take(socket))
  }

  /** @param endpoint "http://127.0.0.1:2379" */
  static async before(endpoint: string): Promise<TcpDoor> {
    const door = new TcpDoor(Number(new URL(endpoint).port))
    await once(door.#server.listen(0, '127.0.0.1'), 'listening')
    return door
  }

  get endpoint(): string {
    const at = this.#server.address()
    return `http://127.0.0.1:${typeof at === 'object' ? at?.port : at}`
  }

  /** Ends what goes through it and turns away what comes. Resolves when somebody was turned away. */
  shut(): Promise<void> {
    this.#turnedAway ??= Promise.withResolvers()
    this.#end()
    return this.#turnedAway.promise
  }

  open(): void {
    this.#turnedAway = null
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = once(this.#server.close(), 'close')
    this.#end()
    await closed
  }

  #end(): void {
    for (const socket of this.#sockets) socket.destroy()
  }

  #take(socket: Socket): void {
    if (this.#turnedAway !== null) {
      socket.destroy()
      this.#turnedAway.resolve()
      return
    }
    const behind = connect(this.#target, '127.0.0.1')
    for (const [from, to] of [
      [socket, behind],
      [behind, socket],
    ] as const) {
      this.#sockets.add(from)
      from.on('error', () => to.destroy())
      from.on('close', () => {
        this.#sockets.delete(from)
        to.destroy()
      })
      from.pipe(to)
    }
  }
}
