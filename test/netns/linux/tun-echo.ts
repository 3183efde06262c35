import { closeSync, constants, openSync, readSync, writeSync } from 'node:fs'
import koffi from 'koffi'
import { formatIpv6 } from '../../../src/net/ipv6.ts'

const libc = koffi.load('libc.so.6')
const ioctl = libc.func('int ioctl(int fd, unsigned long request, uint8_t *argument)')

const TUNSETIFF = 0x400454ca
const IFF_TUN_NO_PI_VNET_HDR_MULTI_QUEUE = 0x0001 | 0x1000 | 0x4000 | 0x0100
/** struct virtio_net_hdr before each packet. */
const HEADER = 10

/** Changes places of sender and receiver, and tells both as they were. */
function turned(packet: Buffer, at: number, length: number): [Buffer, Buffer] {
  const from = Buffer.from(packet.subarray(at, at + length))
  const to = Buffer.from(packet.subarray(at + length, at + 2 * length))
  to.copy(packet, at)
  from.copy(packet, at + length)
  return [from, to]
}

const text6 = (ip: Buffer): string => formatIpv6(BigInt(`0x${ip.toString('hex')}`))

function addToChecksum(icmp: Buffer, amount: number): void {
  const sum = icmp.readUInt16BE(2) + amount
  icmp.writeUInt16BE((sum & 0xffff) + (sum >> 16), 2)
}

/** Stands for all hosts behind the TUN: answers each ping that comes out of it from whom it was sent to. */
export class TunEcho implements Disposable {
  /** Sender and receiver of each ping, "10.33.5.2 > 10.33.9.9", "fd00:33:0:5::2 > fd00:33:0:9::9". */
  readonly pings: string[] = []
  /** Of each packet that came out, in bytes. */
  readonly sizes: number[] = []
  readonly #fd: number
  readonly #timer: NodeJS.Timeout

  constructor(name: string) {
    this.#fd = openSync('/dev/net/tun', constants.O_RDWR | constants.O_NONBLOCK)
    const request = Buffer.alloc(40)
    request.write(name)
    request.writeUInt16LE(IFF_TUN_NO_PI_VNET_HDR_MULTI_QUEUE, 16)
    if (ioctl(this.#fd, TUNSETIFF, request) !== 0) throw new Error(`cannot attach to ${name}`)
    this.#timer = setInterval(() => this.#drain(), 2)
  }

  #drain(): void {
    const buffer = Buffer.alloc(2048)
    for (;;) {
      let length: number
      try {
        length = readSync(this.#fd, buffer)
      } catch {
        return
      }
      this.#answer(buffer.subarray(0, length))
    }
  }

  #answer(message: Buffer): void {
    const packet = message.subarray(HEADER)
    this.sizes.push(packet.length)
    const isPing = packet[0]! >> 4 === 4 ? this.#turn4(packet) : this.#turn6(packet)
    if (!isPing) return
    message.fill(0, 0, HEADER)
    writeSync(this.#fd, message)
  }

  /** Makes a ping its answer. @returns false for what is none */
  #turn4(packet: Buffer): boolean {
    const icmp = packet.subarray((packet[0]! & 15) * 4)
    if (packet[9] !== 1 || icmp[0] !== 8) return false
    const [from, to] = turned(packet, 12, 4)
    this.pings.push(`${from.join('.')} > ${to.join('.')}`)
    // The type goes from 8 to 0: the checksum rises by 0x0800 (RFC 1624).
    icmp[0] = 0
    addToChecksum(icmp, 0x0800)
    return true
  }

  #turn6(packet: Buffer): boolean {
    const icmp = packet.subarray(40)
    if (packet[6] !== 58 || icmp[0] !== 128) return false
    const [from, to] = turned(packet, 8, 16)
    this.pings.push(`${text6(from)} > ${text6(to)}`)
    // The type goes from 128 to 129: the checksum falls by 0x0100.
    icmp[0] = 129
    addToChecksum(icmp, 0xfeff)
    return true
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer)
    closeSync(this.#fd)
  }
}
