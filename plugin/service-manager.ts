import { OverlayError } from '../src/errors.ts'

const AF_UNIX = 1
const SOCK_DGRAM = 2
const SOCK_CLOEXEC = 0o2000000

/**
 * struct sockaddr_un of unix(7)
 *   0        2
 *   | family | path … 0 |
 */
const SOCKADDR_PATH = 2
const SOCKADDR_MAX = 110

/**
 * Tells the service manager that started this process that it serves, as sd_notify(3) describes: one
 * datagram to the socket that NOTIFY_SOCKET names; "@" in front stands for an abstract name. Node
 * itself has no datagrams on unix sockets.
 * @throws OverlayError bad_input for a name that is none, host_state when nobody takes the datagram
 */
export async function notifyReady(socketName: string): Promise<void> {
  const name = Buffer.from(socketName)
  if (!/^[/@]./.test(socketName) || name.length > SOCKADDR_MAX - SOCKADDR_PATH - 1) {
    throw new OverlayError(
      'bad_input',
      `NOTIFY_SOCKET: wanted a path of at most ${SOCKADDR_MAX - SOCKADDR_PATH - 1} bytes, found "${socketName}"`,
    )
  }
  if (socketName.startsWith('@')) name[0] = 0
  const address = Buffer.alloc(SOCKADDR_MAX)
  address.writeUInt16LE(AF_UNIX)
  name.copy(address, SOCKADDR_PATH)
  // An abstract name ends with the address, a path with a zero.
  const length = SOCKADDR_PATH + name.length + (socketName.startsWith('@') ? 0 : 1)

  // Only where somebody waits for it is libc opened in this thread.
  const { addressOf, errno, libc } = await import('../src/datapath/libc.ts')
  const message = Buffer.from('READY=1\n')
  const fd = libc.socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0)
  const sent =
    fd >= 0 &&
    libc.connect(fd, addressOf(address), length) === 0 &&
    libc.write(fd, addressOf(message), message.length) === message.length
  const problem = errno()
  if (fd >= 0) libc.close(fd)
  if (sent) return
  throw new OverlayError(
    'host_state',
    `the service manager does not take messages at ${socketName} (errno ${problem})`,
  )
}
