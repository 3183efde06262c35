import { rmSync } from 'node:fs'
import { createServer } from 'node:http'
import { hostname } from 'node:os'

const ANSWERS: Readonly<Record<string, object>> = {
  '/Plugin.Activate': { Implements: ['NetworkDriver'] },
  '/NetworkDriver.GetCapabilities': { Scope: 'local', ConnectivityScope: 'global' },
}

/** The least that Docker takes for a plugin: it activates and then refuses. */
const socket = process.env['SOCKET'] ?? ''
if (process.env['STUB_FAILS'] !== undefined) throw new Error(process.env['STUB_FAILS'])
rmSync(socket, { force: true })
const server = createServer((request, answer) => {
  console.log(`${hostname()} ${request.url}`)
  const known = ANSWERS[request.url ?? '']
  answer.statusCode = known === undefined ? 500 : 200
  answer.end(JSON.stringify(known ?? { Err: `the stub refuses ${request.url}` }))
}).listen(socket)
process.on('SIGTERM', () => {
  console.log('drained')
  server.closeAllConnections()
  server.close()
})
