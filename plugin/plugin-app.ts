import { setTimeout as sleep } from 'node:timers/promises'
import express, { type Express, type NextFunction, type Request, type Response } from 'express'
import { messageOf, OverlayError } from '../src/errors.ts'
import type { Log } from '../src/log.ts'
import type { IpamDriver, NetworkDriver } from './drivers.ts'
import { methodsOf } from './methods.ts'

const MEDIA_TYPE = 'application/vnd.docker.plugins.v1.2+json'

/** dockerd itself waits without end for a legacy plugin, holding the container's lock meanwhile. */
const CALL_DEADLINE_MS = 10_000

/** A request lists a container's ports and little else: a hundred times what is needed. */
const BODY_LIMIT = '4mb'

export interface PluginParts {
  readonly network: NetworkDriver
  readonly ipam: IpamDriver
  readonly log: Log
  readonly callDeadlineMs?: number
  /** Calls wait for this, within their deadline: dockerd may come before the program knows its host. */
  readonly started?: Promise<unknown>
}

export interface PluginApp {
  readonly express: Express
  /** Calls whose handlers still run, those past their deadline included. */
  inFlight(): number
}

/**
 * The plugin protocol over HTTP (moby pkg/plugins): POST /Type.Method, a JSON object back.
 * `listen` in server.ts puts it on a socket.
 */
export function createPluginApp(parts: PluginParts): PluginApp {
  const { log, callDeadlineMs = CALL_DEADLINE_MS, started: programStarted } = parts
  const methods = methodsOf(parts.network, parts.ipam)
  let inFlight = 0

  async function serve(request: Request, response: Response, next: NextFunction): Promise<void> {
    const method = request.path.slice(1)
    const call = methods.get(method)
    if (call === undefined) return next()
    const started = performance.now()
    inFlight += 1
    const body = bodyOf(request)
    const running = Promise.resolve(programStarted)
      .then(() => call(body))
      .finally(() => (inFlight -= 1))
    try {
      send(response, 200, await withDeadline(method, running, callDeadlineMs, log))
      log.debug({ method, ms: since(started) }, 'call answered')
    } catch (error) {
      fail(response, 500, messageOf(error))
      logFailure(log, method, since(started), error)
    }
  }

  const app = express()
  app.disable('x-powered-by')
  app.enable('case sensitive routing')
  // dockerd sends no Content-Type.
  app.use(express.raw({ type: () => true, limit: BODY_LIMIT, inflate: false }))
  app.post('/:method', (request: Request, response: Response, next: NextFunction) => {
    serve(request, response, next).catch((error: unknown) => log.error({ err: error }, 'no answer'))
  })
  app.use((request: Request, response: Response) => {
    const found = `${request.method} ${request.path}`
    log.warn({ found }, 'unknown method')
    // libnetwork takes 404 as "this driver does not implement it".
    fail(response, 404, `wanted a POST to a method of NetworkDriver or IpamDriver, found ${found}`)
  })
  // Express knows an error handler by its four parameters.
  app.use((error: unknown, request: Request, response: Response, _next: NextFunction) => {
    log.warn({ found: request.path, err: error }, 'unreadable request')
    fail(response, 500, `${request.path.slice(1)} could not be read: ${messageOf(error)}`)
  })
  return { express: app, inFlight: () => inFlight }
}

const LATE = Symbol('late')

/** The promise, or an error when it takes too long; then its outcome is only logged. */
async function withDeadline(
  method: string,
  running: Promise<object>,
  deadlineMs: number,
  log: Log,
): Promise<object> {
  const timer = new AbortController()
  const late = sleep(deadlineMs, LATE, { signal: timer.signal }).catch(() => LATE)
  try {
    const first = await Promise.race([running, late])
    if (typeof first !== 'symbol') return first
  } finally {
    timer.abort()
  }
  running.then(
    () => log.warn({ method }, 'call finished after its deadline'),
    (error: unknown) => log.warn({ method, err: error }, 'call failed after its deadline'),
  )
  throw new OverlayError(
    'host_state',
    `${method} was not done within ${deadlineMs / 1000} s; the plugin's log says what it waits for`,
  )
}

function since(started: number): number {
  return Math.round((performance.now() - started) * 10) / 10
}

function bodyOf(request: Request): Buffer {
  return Buffer.isBuffer(request.body) ? request.body : Buffer.alloc(0)
}

function send(response: Response, status: number, body: object): void {
  const bytes = Buffer.from(JSON.stringify(body))
  response.writeHead(status, { 'content-type': MEDIA_TYPE, 'content-length': bytes.length })
  response.end(bytes)
}

/** NetworkDriver clients read `Err`, IpamDriver clients `Error`; neither believes one with status 200. */
function fail(response: Response, status: number, text: string): void {
  send(response, status, { Err: text, Error: text })
}

/** A refusal in our own words needs no stack; anything else is a defect and gets one. */
function logFailure(log: Log, method: string, ms: number, error: unknown): void {
  if (error instanceof OverlayError) {
    log.warn({ method, ms, code: error.code, error: error.message }, 'call refused')
  } else {
    log.error({ method, ms, err: error }, 'call failed')
  }
}
