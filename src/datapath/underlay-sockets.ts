import { release } from 'node:os'
import { OverlayError } from '../errors.ts'
import type { Ipv4 } from '../net/ipv4.ts'
import { formatIp, type Ipv6 } from '../net/ipv6.ts'
import { EADDRINUSE, EADDRNOTAVAIL, errnoName } from './errno.ts'
import { errno, libc } from './libc.ts'
import { RECEIVE_SOCKETS, SEND_PORTS } from './limits.ts'
import type { PacketMemory } from './packet-memory.ts'
import { portOwner } from './port-owner.ts'
import { writeSockaddr } from './sockaddr.ts'
import * as abi from './socket-abi.ts'
import {
  isWanted,
  joinsSoundly,
  segmentsSoundly,
  type UdpReceiveOffload,
  type UdpSegmentation,
} from './udp-offload.ts'

/** Ours: what a burst may pile up in the kernel while the other direction has its turn. */
const SEND_BUFFER = 8 * 1024 * 1024
const RECEIVE_BUFFER = 8 * 1024 * 1024

export interface UnderlayOptions {
  /** Address of the underlay; peers are of its family. */
  readonly ip: Ipv4 | Ipv6
  /** The VXLAN port. */
  readonly port: number
  readonly workers: number
  readonly segmentation: UdpSegmentation
  readonly receiveOffload: UdpReceiveOffload
}

export interface UnderlaySockets {
  readonly isIpv6: boolean
  /**
   * On the VXLAN port. The kernel puts what comes from one outer port into one of them, so that a flood
   * delays, and overflows, only what has the same.
   */
  readonly receive: readonly number[]
  /**
   * One for each lane of the outbox, on ports that the kernel chose. All workers share them, so that a
   * flow keeps its outer source port, and with it its place at the receiver, whichever worker reads it.
   */
  readonly send: readonly number[]
  /** The kernel cuts a send into datagrams (UDP_SEGMENT, Linux 4.18), and is to. */
  readonly gso: boolean
  /** The kernel joins received datagrams (UDP_GRO, Linux 5.0), and is to. */
  readonly gro: boolean
}

/**
 * Opens the sockets of `workers` workers on one address and port.
 * @throws OverlayError datapath, nothing is left open
 */
export function openUnderlay(options: UnderlayOptions, scratch: PacketMemory): UnderlaySockets[] {
  const { ip, port, workers } = options
  const opening = new Opening(ip, scratch)
  const kernel = release()
  const segments = isWanted(options.segmentation, segmentsSoundly(kernel))
  const joins = isWanted(options.receiveOffload, joinsSoundly(kernel))
  try {
    opening.claim(port)
    const send = Array.from({ length: SEND_PORTS }, () => opening.send())
    const gso = segments && opening.set(send[0]!, abi.SOL_UDP, abi.UDP_SEGMENT, 0)
    return Array.from({ length: workers }, () => {
      const sockets = Array.from({ length: RECEIVE_SOCKETS }, () => opening.receive(port, joins))
      const gro = sockets.every((socket) => socket.gro)
      return { isIpv6: opening.isIpv6, receive: sockets.map(({ fd }) => fd), send, gso, gro }
    })
  } catch (error) {
    opening.close()
    throw error
  }
}

export function descriptorsOf({ receive, send }: UnderlaySockets): number[] {
  return [...receive, ...send]
}

export function closeUnderlay(sockets: readonly UnderlaySockets[]): void {
  for (const fd of new Set(sockets.flatMap(descriptorsOf))) libc.close(fd)
}

/** Sockets of one address, remembered until it is certain that all are wanted. */
class Opening {
  readonly isIpv6: boolean
  readonly #ip: Ipv4 | Ipv6
  readonly #scratch: PacketMemory
  readonly #address: number
  readonly #value: number
  readonly #opened: number[] = []

  constructor(ip: Ipv4 | Ipv6, scratch: PacketMemory) {
    this.isIpv6 = typeof ip === 'bigint'
    this.#ip = ip
    this.#scratch = scratch
    this.#address = scratch.reserve(abi.SOCKADDR_IN6_LENGTH)
    this.#value = scratch.reserve(4)
  }

  /** Sockets that share a port (SO_REUSEPORT) would share it with a second daemon too: one that does not is tried. */
  claim(port: number): void {
    const fd = this.#open()
    this.#bind(fd, port)
    this.#opened.pop()
    libc.close(fd)
  }

  receive(port: number, joins: boolean): { fd: number; gro: boolean } {
    const fd = this.#open()
    this.set(fd, abi.SOL_SOCKET, abi.SO_REUSEPORT, 1)
    this.#grow(fd, abi.SO_RCVBUFFORCE, abi.SO_RCVBUF, RECEIVE_BUFFER)
    if (this.isIpv6) this.set(fd, abi.IPPROTO_IPV6, abi.IPV6_RECVTCLASS, 1)
    else this.set(fd, abi.IPPROTO_IP, abi.IP_RECVTOS, 1)
    const gro = joins && this.set(fd, abi.SOL_UDP, abi.UDP_GRO, 1)
    this.#bind(fd, port)
    return { fd, gro }
  }

  send(): number {
    const fd = this.#open()
    this.#grow(fd, abi.SO_SNDBUFFORCE, abi.SO_SNDBUF, SEND_BUFFER)
    // A VTEP must not fragment (RFC 7348 section 4.3): outer DF, and EMSGSIZE when a path is smaller.
    if (this.isIpv6) this.set(fd, abi.IPPROTO_IPV6, abi.IPV6_MTU_DISCOVER, abi.IP_PMTUDISC_DO)
    else this.set(fd, abi.IPPROTO_IP, abi.IP_MTU_DISCOVER, abi.IP_PMTUDISC_DO)
    this.#bind(fd, 0)
    return fd
  }

  set(fd: number, level: number, name: number, to: number): boolean {
    this.#scratch.words[this.#value >>> 2] = to
    return libc.setsockopt(fd, level, name, this.#scratch.base + this.#value, 4) === 0
  }

  close(): void {
    for (const fd of this.#opened) libc.close(fd)
  }

  /** Checksums of IPv6 stay on, in both directions: zero ones are neither sent nor taken (RFC 8200 section 8.1). */
  #open(): number {
    const type = abi.SOCK_DGRAM | abi.SOCK_CLOEXEC | abi.SOCK_NONBLOCK
    const fd = libc.socket(this.isIpv6 ? abi.AF_INET6 : abi.AF_INET, type, 0)
    if (fd < 0) throw new OverlayError('datapath', `cannot open a socket: ${errnoName(errno())}`)
    this.#opened.push(fd)
    if (this.isIpv6) this.set(fd, abi.IPPROTO_IPV6, abi.IPV6_V6ONLY, 1)
    return fd
  }

  #bind(fd: number, port: number): void {
    const length = writeSockaddr(this.#scratch, this.#address, this.#ip, port)
    if (libc.bind(fd, this.#scratch.base + this.#address, length) === 0) return
    throw bindError(errno(), this.#ip, port)
  }

  /** Beyond net.core.rmem_max where allowed (CAP_NET_ADMIN), else up to it. */
  #grow(fd: number, force: number, plain: number, bytes: number): void {
    if (this.set(fd, abi.SOL_SOCKET, force, bytes)) return
    this.set(fd, abi.SOL_SOCKET, plain, bytes)
  }
}

function bindError(failure: number, ip: Ipv4 | Ipv6, port: number): OverlayError {
  const where = `UDP port ${port} of ${formatIp(ip)}`
  if (failure === EADDRINUSE) {
    const owner = portOwner(ip, port) ?? 'another program'
    return new OverlayError(
      'datapath',
      `${where} is in use by ${owner}; stop it, or choose another port with VXLAN_PORT on every host`,
    )
  }
  if (failure === EADDRNOTAVAIL) {
    return new OverlayError('datapath', `${formatIp(ip)} is not an address of this machine`)
  }
  return new OverlayError('datapath', `cannot bind ${where}: ${errnoName(failure)}`)
}
