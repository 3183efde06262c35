import { createSocket } from 'node:dgram'
import { createServer } from 'node:net'
import { OverlayError } from '../errors.ts'
import type { PublishedPort } from './host-state.ts'

/** A port of this host; 0 stands for any that is free. */
export type HostPort = Pick<PublishedPort, 'protocol' | 'hostIp' | 'hostPort'>

interface Reservation extends HostPort {
  readonly close: () => void
}

/**
 * Ports of this host that are kept from other programs while they are published. Packets for them are
 * translated before they reach a socket, so nothing else would tell two programs of each other: the
 * sockets here only make the kernel refuse the port to everybody else.
 */
export class ReservedPorts {
  readonly #held = new Map<string, Reservation>()

  values(): HostPort[] {
    return [...this.#held.values()].map(({ protocol, hostIp, hostPort }) => {
      return { protocol, hostIp, hostPort }
    })
  }

  has(port: HostPort): boolean {
    return this.#held.has(portText(port))
  }

  /**
   * @returns the number, chosen by the kernel from its ephemeral range if 0 was asked for
   * @throws OverlayError conflict (in use), bad_input (no address of this host), host_state
   */
  async reserve(port: HostPort): Promise<number> {
    const { protocol, hostIp } = port
    const reservation =
      protocol === 'tcp'
        ? await listening(port)
        : protocol === 'udp'
          ? await bound(port)
          : await this.#unused(port)
    const { hostPort } = reservation
    this.#held.set(portText({ protocol, hostIp, hostPort }), reservation)
    return hostPort
  }

  /** Unknown is done already. */
  release(port: HostPort): void {
    this.#held.get(portText(port))?.close()
    this.#held.delete(portText(port))
  }

  releaseAll(): void {
    for (const port of this.values()) this.release(port)
  }

  /** Node has no sockets for SCTP, nor have many kernels: such a port is kept from other containers only. */
  async #unused(port: HostPort): Promise<Reservation> {
    const { protocol, hostIp, hostPort } = port
    if (hostPort === 0) {
      const number = await listening({ protocol: 'tcp', hostIp, hostPort })
      number.close()
      return this.#unused({ protocol, hostIp, hostPort: number.hostPort })
    }
    if (this.values().some((other) => isSamePort(other, port))) throw inUse(port, undefined)
    return { ...port, close: () => undefined }
  }
}

/** Whether a packet could be meant for either. */
export function isSamePort(a: HostPort, b: HostPort): boolean {
  const meets = a.hostIp === null || b.hostIp === null || a.hostIp === b.hostIp
  return a.protocol === b.protocol && a.hostPort === b.hostPort && meets
}

/** "8080/tcp", "127.0.0.1:53/udp". */
export const portText = ({ protocol, hostIp, hostPort }: HostPort): string =>
  `${hostIp === null ? '' : `${hostIp}:`}${hostPort}/${protocol}`

const addressOf = ({ hostIp }: HostPort): string => hostIp ?? '0.0.0.0'

function listening(port: HostPort): Promise<Reservation> {
  // Only while the rules are not in force does anybody get here.
  const server = createServer((socket) => socket.destroy())
  return new Promise((resolve, reject) => {
    server.once('error', (error) => reject(refusal(port, error)))
    server.listen({ host: addressOf(port), port: port.hostPort }, () => {
      server.unref()
      const address = server.address()
      const hostPort = typeof address === 'object' ? (address?.port ?? 0) : 0
      resolve({ ...port, hostPort, close: () => server.close() })
    })
  })
}

function bound(port: HostPort): Promise<Reservation> {
  const socket = createSocket('udp4')
  return new Promise((resolve, reject) => {
    socket.once('error', (error) => {
      socket.close()
      reject(refusal(port, error))
    })
    socket.bind({ address: addressOf(port), port: port.hostPort }, () => {
      socket.unref()
      resolve({ ...port, hostPort: socket.address().port, close: () => socket.close() })
    })
  })
}

function refusal(port: HostPort, error: Error): OverlayError {
  const code = 'code' in error ? error.code : undefined
  if (code === 'EADDRINUSE') return inUse(port, error)
  if (code === 'EADDRNOTAVAIL') {
    return new OverlayError(
      'bad_input',
      `-p ${port.hostIp}:… asks for an address that this host does not have; give one of its own (ip address), or none for all of them`,
      { cause: error },
    )
  }
  if (code === 'EACCES') {
    return new OverlayError(
      'host_state',
      `overlay-ts may not take the port ${portText(port)} of this host, since it runs without CAP_NET_BIND_SERVICE; give it that capability, or publish at a port from 1024 on`,
      { cause: error },
    )
  }
  return new OverlayError(
    'host_state',
    `the port ${portText(port)} of this host could not be taken: ${error.message}`,
    { cause: error },
  )
}

const inUse = (port: HostPort, cause: Error | undefined): OverlayError =>
  new OverlayError(
    'conflict',
    `the port ${portText(port)} of this host is in use already (ss -lnp shows by whom); publish at another one, or give none (-p CONTAINER_PORT) for one that is free`,
    { cause },
  )
