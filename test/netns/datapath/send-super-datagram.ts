import assert from 'node:assert/strict'
import { addressOf, libc } from '../../../src/datapath/libc.ts'
import { PacketMemory } from '../../../src/datapath/packet-memory.ts'
import * as abi from '../../../src/datapath/socket-abi.ts'
import { writeSockaddr } from '../../../src/datapath/sockaddr.ts'
import { parseIpv4 } from '../../../src/net/ipv4.ts'
import { parseIpv6 } from '../../../src/net/ipv6.ts'

/** A program: `ADDRESS PORT`. Hands the kernel 9,500 bytes to send as datagrams of 1,000 (UDP_SEGMENT). */
const [address = '', port = ''] = process.argv.slice(2)
const memory = new PacketMemory(65_536, addressOf)
const ip = address.includes(':') ? parseIpv6(address) : parseIpv4(address)
const family = typeof ip === 'bigint' ? abi.AF_INET6 : abi.AF_INET
const fd = libc.socket(family, abi.SOCK_DGRAM, 0)
const size = memory.reserve(4)
memory.words[size >>> 2] = 1000
assert.equal(libc.setsockopt(fd, abi.SOL_UDP, abi.UDP_SEGMENT, memory.base + size, 4), 0)

const name = memory.reserve(abi.SOCKADDR_IN6_LENGTH)
const nameLength = writeSockaddr(memory, name, ip, Number(port))
const iovec = memory.reserve(16)
memory.storeAddress(iovec, memory.reserve(9500))
memory.words[(iovec >>> 2) + 2] = 9500
const message = memory.reserve(abi.MSGHDR_LENGTH)
memory.storeAddress(message + abi.MSG_NAME, name)
memory.words[(message + abi.MSG_NAME_LENGTH) >>> 2] = nameLength
memory.storeAddress(message + abi.MSG_IOV, iovec)
memory.words[(message + abi.MSG_IOV_LENGTH) >>> 2] = 1
assert.equal(libc.sendmsg(fd, memory.base + message, 0), 9500)
