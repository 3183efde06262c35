import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { errno, addressOf, libc } from '../../src/datapath/libc.ts'
import { PacketMemory } from '../../src/datapath/packet-memory.ts'
import * as abi from '../../src/datapath/socket-abi.ts'
import { writeSockaddr } from '../../src/datapath/sockaddr.ts'

/**
 * A program: sends IP packets just as they are given, in hexadecimal and one a line on standard input.
 * A raw socket of protocol IPPROTO_RAW takes the IP header from the caller, its source included (raw(7)).
 */
const SOCK_RAW = 3
const IPPROTO_RAW = 255

const fd = libc.socket(abi.AF_INET, SOCK_RAW, IPPROTO_RAW)
assert.ok(fd >= 0, `no raw socket: errno ${errno()}`)

const memory = new PacketMemory(131_072, addressOf)
const name = memory.reserve(abi.SOCKADDR_IN_LENGTH)
const iovec = memory.reserve(16)
const message = memory.reserve(abi.MSGHDR_LENGTH)
const room = memory.reserve(65_536)
memory.storeAddress(iovec, room)
memory.storeAddress(message + abi.MSG_NAME, name)
memory.words[(message + abi.MSG_NAME_LENGTH) >>> 2] = abi.SOCKADDR_IN_LENGTH
memory.storeAddress(message + abi.MSG_IOV, iovec)
memory.words[(message + abi.MSG_IOV_LENGTH) >>> 2] = 1

for (const line of readFileSync(0, 'utf8').split('\n').filter(Boolean)) {
  const packet = Buffer.from(line, 'hex')
  memory.bytes.set(packet, room)
  memory.words[(iovec >>> 2) + 2] = packet.length
  writeSockaddr(memory, name, packet.readUInt32BE(16), 0)
  const sent = libc.sendmsg(fd, memory.base + message, 0)
  assert.equal(sent, packet.length, `errno ${errno()}`)
}
