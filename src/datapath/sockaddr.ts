import type { Ipv4 } from '../net/ipv4.ts'
import { type Ipv6, ipv6Bytes } from '../net/ipv6.ts'
import { store16, store32 } from '../packet/bytes.ts'
import type { PacketMemory } from './packet-memory.ts'
import * as abi from './socket-abi.ts'

/**
 * Writes struct sockaddr_in or sockaddr_in6: family in host order, port and address in network order.
 * @returns its length in bytes
 */
export function writeSockaddr(
  memory: PacketMemory,
  at: number,
  ip: Ipv4 | Ipv6,
  port: number,
): number {
  const { bytes } = memory
  const isIpv6 = typeof ip === 'bigint'
  const length = isIpv6 ? abi.SOCKADDR_IN6_LENGTH : abi.SOCKADDR_IN_LENGTH
  bytes.fill(0, at, at + length)
  bytes[at] = isIpv6 ? abi.AF_INET6 : abi.AF_INET
  store16(bytes, at + abi.SOCKADDR_PORT, port)
  if (isIpv6) bytes.set(ipv6Bytes(ip), at + abi.SOCKADDR_IP6)
  else store32(bytes, at + abi.SOCKADDR_IP, ip)
  return length
}
