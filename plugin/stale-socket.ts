import { lstat, unlink } from 'node:fs/promises'
import { connect } from 'node:net'
import { OverlayError } from '../src/errors.ts'

/**
 * Removes the socket file that a dead process left: dockerd takes 15 s to give up on such a file.
 * Nothing there is fine.
 * @param setting what the path comes from
 * @throws OverlayError conflict when somebody listens on it, or it is not a socket
 */
export async function clearStaleSocket(path: string, setting = 'SOCKET'): Promise<void> {
  const found = await lstat(path).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return null
    throw error
  })
  if (found === null) return
  if (!found.isSocket()) {
    throw new OverlayError(
      'conflict',
      `${path} should become the plugin's socket but is a file of another kind; remove it or set ${setting}`,
    )
  }
  if (await isAnswered(path)) {
    throw new OverlayError(
      'conflict',
      `another process listens on ${path}; stop that plugin first, or set ${setting} to another path`,
    )
  }
  await unlink(path)
}

function isAnswered(path: string): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const socket = connect(path)
    socket.once('connect', () => {
      socket.destroy()
      resolve(true)
    })
    socket.once('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'ECONNREFUSED' || error.code === 'ENOENT') resolve(false)
      // A full backlog is a sign of life.
      else if (error.code === 'EAGAIN') resolve(true)
      else reject(error)
    })
  })
}
