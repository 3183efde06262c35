import { once } from 'node:events'
import { chmod, mkdir } from 'node:fs/promises'
import { createServer, type Server } from 'node:http'
import { dirname } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { STORE_PATIENCE_MS } from '../src/control/patience.ts'
import type { PluginApp } from './plugin-app.ts'
import { clearStaleSocket } from './stale-socket.ts'

/**
 * How long a closing server waits for calls that still run: a little longer than any of them waits for etcd.
 * Docker kills a managed plugin ten seconds after it asked it to stop, and there is more to end.
 */
const DRAIN_MS = STORE_PATIENCE_MS + 200

export interface PluginServer {
  readonly socketPath: string
  /** Stops accepting, waits for calls that run, but not for ever, then closes what is left. */
  close(): Promise<void>
  [Symbol.asyncDispose](): Promise<void>
}

/**
 * Serves the app on a unix socket, replacing the file that a dead predecessor left. One app may
 * listen on several sockets.
 * @throws OverlayError conflict when somebody listens there already, or the path is no socket
 */
export async function listen(
  app: PluginApp,
  socketPath: string,
  drainMs = DRAIN_MS,
): Promise<PluginServer> {
  await mkdir(dirname(socketPath), { recursive: true })
  await clearStaleSocket(socketPath)
  const server = createServer(app.express)
  // Go keeps idle connections for ever. When our close races its next request, it repeats the
  // request with an empty body (moby issue 35459).
  server.keepAliveTimeout = 0
  server.headersTimeout = 0
  server.requestTimeout = 0
  server.listen(socketPath)
  await once(server, 'listening')
  await chmod(socketPath, 0o660)

  let closing: Promise<void> | undefined
  const close = (): Promise<void> => (closing ??= drain(server, app, drainMs))
  return { socketPath, close, [Symbol.asyncDispose]: close }
}

async function drain(server: Server, app: PluginApp, drainMs: number): Promise<void> {
  // Node takes the socket file away as it stops listening.
  const closed = new Promise((resolve) => server.close(resolve))
  const deadline = performance.now() + drainMs
  while (app.inFlight() > 0 && performance.now() < deadline) await sleep(10)
  // One more turn, for the last answers to reach the kernel.
  await sleep(10)
  server.closeAllConnections()
  await closed
}
