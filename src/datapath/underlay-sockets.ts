import { OverlayError } from '../errors.ts'
import { formatIpv4, type Ipv4 } from '../net/ipv4.ts'
import { store16, store32 } from '../packet/bytes.ts'
import { EADDRINUSE, EADDRNOTAVAIL, errnoName } from './errno.ts'
import { errno, libc } from './libc.ts'
import { SEND_PORTS } from './limits.ts'
import type { PacketMemory } from './packet-memory.ts'
import { portOwner } from './port-owner.ts'
import * as abi from './socket-abi.ts'

/** Ours: what a burst may pile up in the kernel while the other direction has its turn. */
const SOCKET_BUFFER = 8 * 1024 * 1024

export interface UnderlaySockets {
  /** On the VXLAN port. */
  readonly receive: number
  /** One for each lane of the outbox, on ports that the kernel chose. */
  readonly send: readonly number[]
  /** The kernel can cut a send into datagrams (UDP_SEGMENT, Linux 4.18). */
  readonly gso: boolean
  /** The kernel joins received datagrams (UDP_GRO, Linux 5.0). */
  readonly gro: boolean
}

/**
 * Opens the sockets of `workers` workers on one address and port.
 * @throws OverlayError datapath, nothing is left open
 */
export function openUnderlay(
  ip: Ipv4,
  port: number,
  workers: number,
  scratch: PacketMemory,
): UnderlaySockets[] {
  const opened: number[] = []
  const open = (): number => {
    const fd = libc.socket(abi.AF_INET, abi.SOCK_DGRAM | abi.SOCK_CLOEXEC | abi.SOCK_NONBLOCK, 0)
    if (fd < 0) throw new OverlayError('datapath', `cannot open a socket: ${errnoName(errno())}`)
    opened.push(fd)
    return fd
  }
  const address = scratch.reserve(abi.SOCKADDR_IN_LENGTH)
  const value = scratch.reserve(4)
  const set = (fd: number, level: number, name: number, to: number): boolean => {
    scratch.words[value >>> 2] = to
    return libc.setsockopt(fd, level, name, scratch.base + value, 4) === 0
  }
  const bindTo = (fd: number, to: number): void => {
    writeAddress(scratch, address, ip, to)
    if (libc.bind(fd, scratch.base + address, abi.SOCKADDR_IN_LENGTH) === 0) return
    throw bindError(errno(), ip, to)
  }
  const openReceive = (): { fd: number; gro: boolean } => {
    const fd = open()
    if (workers > 1) set(fd, abi.SOL_SOCKET, abi.SO_REUSEPORT, 1)
    grow(set, fd, abi.SO_RCVBUFFORCE, abi.SO_RCVBUF)
    set(fd, abi.SOL_SOCKET, abi.SO_RXQ_OVFL, 1)
    set(fd, abi.IPPROTO_IP, abi.IP_RECVTOS, 1)
    const gro = set(fd, abi.SOL_UDP, abi.UDP_GRO, 1)
    bindTo(fd, port)
    return { fd, gro }
  }
  const openSend = (): number => {
    const fd = open()
    grow(set, fd, abi.SO_SNDBUFFORCE, abi.SO_SNDBUF)
    // A VTEP must not fragment (RFC 7348 section 4.3): outer DF, and EMSGSIZE when a path is smaller.
    set(fd, abi.IPPROTO_IP, abi.IP_MTU_DISCOVER, abi.IP_PMTUDISC_DO)
    bindTo(fd, 0)
    return fd
  }

  try {
    if (workers > 1) {
      // Sockets that share a port (SO_REUSEPORT) would share it with a second daemon too.
      const probe = open()
      bindTo(probe, port)
      libc.close(opened.pop()!)
    }
    return Array.from({ length: workers }, () => {
      const receive = openReceive()
      const send = Array.from({ length: SEND_PORTS }, openSend)
      const gso = set(send[0]!, abi.SOL_UDP, abi.UDP_SEGMENT, 0)
      return { receive: receive.fd, send, gso, gro: receive.gro }
    })
  } catch (error) {
    for (const fd of opened) libc.close(fd)
    throw error
  }
}

export function closeUnderlay(sockets: readonly UnderlaySockets[]): void {
  for (const { receive, send } of sockets) for (const fd of [receive, ...send]) libc.close(fd)
}

type SetOption = (fd: number, level: number, name: number, to: number) => boolean

/** Beyond net.core.rmem_max where allowed (CAP_NET_ADMIN), else up to it. */
function grow(set: SetOption, fd: number, force: number, plain: number): void {
  if (!set(fd, abi.SOL_SOCKET, force, SOCKET_BUFFER)) {
    set(fd, abi.SOL_SOCKET, plain, SOCKET_BUFFER)
  }
}

/** struct sockaddr_in: family in host order, port and address in network order. */
export function writeAddress(memory: PacketMemory, at: number, ip: Ipv4, port: number): void {
  memory.bytes[at] = abi.AF_INET
  memory.bytes[at + 1] = 0
  store16(memory.bytes, at + abi.SOCKADDR_PORT, port)
  store32(memory.bytes, at + abi.SOCKADDR_IP, ip)
}

function bindError(failure: number, ip: Ipv4, port: number): OverlayError {
  const where = `UDP port ${port} of ${formatIpv4(ip)}`
  if (failure === EADDRINUSE) {
    const owner = portOwner(ip, port) ?? 'another program'
    return new OverlayError(
      'datapath',
      `${where} is in use by ${owner}; stop it, or choose another port with VXLAN_PORT on every host`,
    )
  }
  if (failure === EADDRNOTAVAIL) {
    return new OverlayError('datapath', `${formatIpv4(ip)} is not an address of this machine`)
  }
  return new OverlayError('datapath', `cannot bind ${where}: ${errnoName(failure)}`)
}
