import { once } from 'node:events'
import { createServer } from 'node:http'
import express, { type NextFunction, type Request, type Response } from 'express'
import { messageOf, OverlayError } from '../src/errors.ts'
import type { Log } from '../src/log.ts'
import { metricsText, type MetricsSnapshot } from './metrics.ts'
import type { ListenAddress } from './setting-schemas.ts'

export interface AdminOptions {
  readonly listen: ListenAddress
  readonly log: Log
  /** null when ready, else what is missing, as a sentence. */
  readonly notReady: () => string | null
  readonly metrics: () => MetricsSnapshot | Promise<MetricsSnapshot>
  /** Anything that JSON can say; secrets are not among it. */
  readonly state: () => object | Promise<object>
}

export interface AdminServer {
  readonly address: ListenAddress
  close(): Promise<void>
  [Symbol.asyncDispose](): Promise<void>
}

/**
 * Health, metrics and state over HTTP, read-only and for this host unless ADMIN_LISTEN says otherwise:
 *
 *   GET /healthz    200 while the process runs
 *   GET /readyz     200 when it serves, else 503 with the reason
 *   GET /metrics    Prometheus text
 *   GET /v1/state   JSON
 *
 * @throws OverlayError host_state when the address cannot be listened on
 */
export async function startAdmin(options: AdminOptions): Promise<AdminServer> {
  const server = createServer(adminApp(options))
  try {
    server.listen(options.listen.port, options.listen.host)
    await once(server, 'listening')
  } catch (error) {
    const { host, port } = options.listen
    throw new OverlayError(
      'host_state',
      `ADMIN_LISTEN ${host}:${port} cannot be listened on (${messageOf(error)}); set it to a free port`,
      { cause: error },
    )
  }
  const bound = server.address()
  const port = typeof bound === 'object' && bound !== null ? bound.port : options.listen.port
  const close = async (): Promise<void> => {
    if (!server.listening) return
    const closed = once(server, 'close')
    server.close()
    server.closeAllConnections()
    await closed
  }
  return { address: { host: options.listen.host, port }, close, [Symbol.asyncDispose]: close }
}

function adminApp(options: AdminOptions): express.Express {
  const app = express()
  app.disable('x-powered-by')
  app.disable('etag')
  app.get('/healthz', (_request: Request, response: Response) => {
    response.type('text/plain').send('ok\n')
  })
  app.get('/readyz', (_request: Request, response: Response) => {
    const reason = options.notReady()
    response
      .status(reason === null ? 200 : 503)
      .type('text/plain')
      .send(`${reason ?? 'ok'}\n`)
  })
  app.get('/metrics', async (_request: Request, response: Response) => {
    const text = await metricsText(await options.metrics())
    // The type that scrapers know; Express would add its own charset.
    response.set('content-type', 'text/plain; version=0.0.4; charset=utf-8').send(text)
  })
  app.get('/v1/state', async (_request: Request, response: Response) => {
    response.json(await options.state())
  })
  app.use((request: Request, response: Response) => {
    response.status(404).json({ error: `there is nothing at ${request.method} ${request.path}` })
  })
  app.use((error: unknown, request: Request, response: Response, _next: NextFunction) => {
    options.log.error({ err: error, path: request.path }, 'admin request failed')
    response.status(500).json({ error: messageOf(error) })
  })
  return app
}
