import { OverlayError } from '../errors.ts'
import { VNET_LENGTH } from '../packet/vnet-header.ts'
import { EBUSY, EINVAL, EPERM, errnoName } from './errno.ts'
import { errno, libc } from './libc.ts'
import type { PacketMemory } from './packet-memory.ts'
import * as abi from './tun-abi.ts'

const NAME_LIMIT = 15

/**
 * What the kernel may hand over unfinished, best first: checksum, TCP over IPv4 and IPv6, and UDP
 * (both families together, Linux 6.2). TSO with CWR (TUN_F_TSO_ECN) is left to the kernel.
 */
const OFFLOADS = [
  { bits: 0x67, name: 'checksum, TSO and USO' },
  { bits: 0x07, name: 'checksum and TSO' },
  { bits: 0x01, name: 'checksum' },
  { bits: 0x00, name: 'none' },
] as const

const USO = 0x60

export interface TunQueue {
  readonly fd: number
  /** What the kernel agreed to hand over unfinished, for the log. */
  readonly offload: string
  /** UDP super-packets are understood. */
  readonly udpGso: boolean
}

/**
 * Attaches one more queue to an existing device (Documentation/networking/tuntap.rst). The device is made
 * elsewhere and is persistent: it outlives this process, with its addresses and routes.
 * @throws OverlayError datapath
 */
export function attachTun(name: string, scratch: PacketMemory): TunQueue {
  // TUNSETIFF makes a device that does not exist; one made so would vanish with this process.
  if (name.length > NAME_LIMIT || libc.if_nametoindex(name) === 0) {
    throw new OverlayError('datapath', `there is no network device ${name} to attach to`)
  }
  const fd = libc.open('/dev/net/tun', abi.O_RDWR | abi.O_NONBLOCK | abi.O_CLOEXEC)
  if (fd < 0) {
    throw new OverlayError('datapath', `cannot open /dev/net/tun: ${errnoName(errno())}`)
  }
  try {
    setInterface(fd, name, scratch)
    const size = scratch.reserve(4)
    scratch.words[size >>> 2] = VNET_LENGTH
    check(fd, abi.TUNSETVNETHDRSZ, scratch.base + size, name)
    const offload = OFFLOADS.find(({ bits }) => libc.ioctl(fd, abi.TUNSETOFFLOAD, bits) === 0)
    return {
      fd,
      offload: offload?.name ?? 'none',
      udpGso: ((offload?.bits ?? 0) & USO) === USO,
    }
  } catch (error) {
    libc.close(fd)
    throw error
  }
}

/** What a worker has of a device. */
export interface TunQueues {
  /** To be read in turn; each flow comes by one of them. */
  readonly reads: readonly number[]
  /** Only to be written to. */
  readonly write: number
}

/**
 * Attaches a worker's queues.
 * @param count of those to read
 * @param opened gets each file descriptor as soon as it is open; closing them is the caller's
 * @throws OverlayError datapath
 */
export function attachWorker(
  name: string,
  count: number,
  opened: Set<number>,
  scratch: PacketMemory,
): TunQueues & TunQueue {
  const attach = (): TunQueue => {
    const queue = attachTun(name, scratch)
    opened.add(queue.fd)
    return queue
  }
  const write = attach()
  detach(write.fd, name, scratch)
  const reads = Array.from({ length: count }, () => attach().fd)
  return { ...write, write: write.fd, reads }
}

/**
 * The kernel puts nothing into a detached queue, and what is written to it teaches the kernel nothing:
 * otherwise a flow would come by the queue that its answers were written to, and all by one
 * (tun_flow_update in drivers/net/tun.c).
 */
function detach(fd: number, name: string, scratch: PacketMemory): void {
  const ifreq = scratch.reserve(abi.IFREQ_LENGTH)
  scratch.words[(ifreq + abi.IFREQ_FLAGS) >>> 2] = abi.IFF_DETACH_QUEUE
  check(fd, abi.TUNSETQUEUE, scratch.base + ifreq, name)
}

function setInterface(fd: number, name: string, scratch: PacketMemory): void {
  const ifreq = scratch.reserve(abi.IFREQ_LENGTH)
  new TextEncoder().encodeInto(name, scratch.bytes.subarray(ifreq, ifreq + NAME_LIMIT))
  scratch.words[(ifreq + abi.IFREQ_FLAGS) >>> 2] =
    abi.IFF_TUN | abi.IFF_NO_PI | abi.IFF_VNET_HDR | abi.IFF_MULTI_QUEUE
  check(fd, abi.TUNSETIFF, scratch.base + ifreq, name)
}

function check(fd: number, request: number, argument: number, name: string): void {
  if (libc.ioctl(fd, request, argument) === 0) return
  const failure = errno()
  const hint = HINTS.get(failure)
  throw new OverlayError(
    'datapath',
    `cannot attach to the TUN ${name}: ${errnoName(failure)}${hint ? `, ${hint}` : ''}`,
  )
}

const HINTS = new Map([
  [EINVAL, 'it is not a TUN made with "multi_queue vnet_hdr"; delete it, so that it is made anew'],
  [EBUSY, 'another process holds it'],
  [EPERM, 'CAP_NET_ADMIN is needed'],
])
