import type { Ipv4 } from '../net/ipv4.ts'
import type { Ipv6 } from '../net/ipv6.ts'
import { libc } from './libc.ts'
import type { PacketMemory } from './packet-memory.ts'
import type { AskPathMtu } from './path-mtu.ts'
import { writeSockaddr } from './sockaddr.ts'
import * as abi from './socket-abi.ts'

const LENGTH = 4

/**
 * Asks the kernel for the MTU of a path: a socket connected to the address is given the route, with what
 * routers said of it, and IP_MTU tells the route's (ip(7), ipv6(7)). The error queue (IP_RECVERR) would
 * tell the same, but makes the sockets that send report other hosts' ICMP errors as their own.
 * @param ip what the sockets that send are bound to: a route may depend on where packets come from
 * @param port any; no datagram is sent
 */
export function pathMtuProbe(memory: PacketMemory, ip: Ipv4 | Ipv6, port: number): AskPathMtu {
  const sockaddr = memory.reserve(abi.SOCKADDR_IN6_LENGTH)
  const value = memory.reserve(LENGTH * 2)
  return (address) => {
    const isIpv6 = typeof address === 'bigint'
    const fd = libc.socket(
      isIpv6 ? abi.AF_INET6 : abi.AF_INET,
      abi.SOCK_DGRAM | abi.SOCK_CLOEXEC,
      0,
    )
    if (fd < 0) return 0
    try {
      const own = writeSockaddr(memory, sockaddr, ip, 0)
      if (libc.bind(fd, memory.base + sockaddr, own) !== 0) return 0
      const length = writeSockaddr(memory, sockaddr, address, port)
      if (libc.connect(fd, memory.base + sockaddr, length) !== 0) return 0
      memory.words[(value >>> 2) + 1] = LENGTH
      const [level, name] = isIpv6 ? [abi.IPPROTO_IPV6, abi.IPV6_MTU] : [abi.IPPROTO_IP, abi.IP_MTU]
      const lengthAt = memory.base + value + LENGTH
      const failed = libc.getsockopt(fd, level, name, memory.base + value, lengthAt) !== 0
      return failed ? 0 : memory.words[value >>> 2]!
    } finally {
      libc.close(fd)
    }
  }
}
