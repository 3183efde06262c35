import { existsSync, readdirSync, readFileSync, readlinkSync } from 'node:fs'
import type { Ipv4 } from '../net/ipv4.ts'
import { type Ipv6, ipv6Bytes } from '../net/ipv6.ts'

/**
 * Who has a UDP port of an address, in words: `"overlay-ts" (process 412)`. A socket of no process that
 * can be seen is mostly the kernel's own: a vxlan device holds its port so. null if nobody has it.
 */
export function portOwner(ip: Ipv4 | Ipv6, port: number): string | null {
  const inode = socketInode(ip, port)
  if (inode === null) return null
  for (const pid of readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
    if (holds(pid, inode)) return `"${nameOf(pid)}" (process ${pid})`
  }
  return 'the kernel (see "ip -d link show type vxlan") or a process that cannot be seen from here (see "ss -lunp")'
}

/** Inode of the socket that holds the port on this address or on all of them (proc(5), net/udp). */
function socketInode(ip: Ipv4 | Ipv6, port: number): string | null {
  const everywhere = '0'.repeat(8)
  const everywhere6 = '0'.repeat(32)
  const own = procForm(ip)
  if (typeof ip === 'bigint') return inodeIn('/proc/net/udp6', [own, everywhere6], port)
  // A socket on all addresses of IPv6 mostly has those of IPv4 too.
  return (
    inodeIn('/proc/net/udp', [own, everywhere], port) ??
    inodeIn('/proc/net/udp6', [everywhere6], port)
  )
}

function inodeIn(table: string, addresses: readonly string[], port: number): string | null {
  const wanted = addresses.map((address) => `${address}:${hex(port, 4)}`)
  for (const line of linesOf(table).slice(1)) {
    const fields = line.trim().split(/\s+/)
    if (wanted.includes(fields[1] ?? '')) return fields[9] ?? null
  }
  return null
}

/** Each four bytes of an address stand there as one little-endian number. */
function procForm(ip: Ipv4 | Ipv6): string {
  const bytes = ipv6Bytes(BigInt(ip)).slice(typeof ip === 'bigint' ? 0 : -4)
  return Array.from({ length: bytes.length / 4 }, (_, index) =>
    Array.from(bytes.slice(index * 4, index * 4 + 4), (byte) => hex(byte, 2)).toReversed(),
  )
    .flat()
    .join('')
}

function hex(value: number, digits: number): string {
  return value.toString(16).toUpperCase().padStart(digits, '0')
}

/** None where the kernel is without IPv6. */
function linesOf(path: string): string[] {
  return existsSync(path) ? readFileSync(path, 'utf8').split('\n') : []
}

function holds(pid: string, inode: string): boolean {
  try {
    return readdirSync(`/proc/${pid}/fd`).some(
      (fd) => readlinkSync(`/proc/${pid}/fd/${fd}`) === `socket:[${inode}]`,
    )
  } catch {
    return false // it ended meanwhile, or is not ours to see
  }
}

function nameOf(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/comm`, 'utf8').trim()
  } catch {
    return 'unknown'
  }
}
