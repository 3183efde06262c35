import { readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { formatIpv4, type Ipv4 } from '../net/ipv4.ts'

/**
 * Who has a UDP port of an address, in words: `"overlay-ts" (process 412)`. A socket of no process that
 * can be seen is mostly the kernel's own: a vxlan device holds its port so. null if nobody has it.
 */
export function portOwner(ip: Ipv4, port: number): string | null {
  const inode = socketInode(ip, port)
  if (inode === null) return null
  for (const pid of readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
    if (holds(pid, inode)) return `"${nameOf(pid)}" (process ${pid})`
  }
  return 'the kernel (see "ip -d link show type vxlan") or a process in another container'
}

/** Inode of the socket that holds the port on this address or on all of them (proc(5), net/udp). */
function socketInode(ip: Ipv4, port: number): string | null {
  // Addresses stand there as the kernel's bytes read as one little-endian number.
  const hex = (value: number, digits: number) =>
    value.toString(16).toUpperCase().padStart(digits, '0')
  const own = formatIpv4(ip)
    .split('.')
    .toReversed()
    .map((part) => hex(Number(part), 2))
    .join('')
  const wanted = [`${own}:${hex(port, 4)}`, `00000000:${hex(port, 4)}`]
  for (const line of readFileSync('/proc/net/udp', 'utf8').split('\n').slice(1)) {
    const fields = line.trim().split(/\s+/)
    if (wanted.includes(fields[1] ?? '')) return fields[9] ?? null
  }
  return null
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
