import { once } from 'node:events'
import { createServer, type ListenOptions, type Server } from 'node:net'

/** Below the ephemeral ports (32768 upward): the kernel gives none of these to whoever asks for any port. */
const FIRST = 21_000
const COUNT = 10_000

/** They hold the names as long as this process lives. */
const claims = new Set<Server>()

/**
 * A port of 127.0.0.1 where nothing listens and which stays this process's to use or to leave dead, until
 * it ends. A port that was bound and released again would be anybody's, also while a server is being
 * started anew.
 */
export async function reservedPort(): Promise<number> {
  for (let tried = 0; tried < COUNT; tried++) {
    const port = FIRST + ((process.pid * 16 + tried) % COUNT)
    // Names of abstract sockets are of the network namespace, as ports are, and end with the process.
    const claim = await listening({ path: `\0overlay-ts-test-port-${port}` })
    if (claim === null) continue
    claims.add(claim.unref())
    const probe = await listening({ host: '127.0.0.1', port, exclusive: true })
    if (probe === null) continue
    probe.close()
    await once(probe, 'close')
    return port
  }
  throw new Error(`all of the ports ${FIRST} to ${FIRST + COUNT - 1} are taken`)
}

/** @returns null when somebody else has the name or the port */
async function listening(at: ListenOptions): Promise<Server | null> {
  const server = createServer().listen(at)
  try {
    await once(server, 'listening')
    return server
  } catch {
    return null
  }
}
