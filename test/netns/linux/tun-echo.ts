import { closeSync, constants, openSync, readSync, writeSync } from 'node:fs'
import koffi from 'koffi'

const libc = koffi.load('libc.so.6')
const ioctl = libc.func('int ioctl(int fd, unsigned long request, uint8_t *argument)')

const TUNSETIFF = 0x400454ca
const IFF_TUN_NO_PI_VNET_HDR_MULTI_QUEUE = 0x0001 | 0x1000 | 0x4000 | 0x0100
/** struct virtio_net_hdr before each packet. */
const HEADER = 10

/** Stands for all hosts behind the TUN: answers each ping that comes out of it from whom it was sent to. */
export class TunEcho implements Disposable {
  /** Sender and receiver of each ping, "10.33.5.2 > 10.33.9.9". */
  readonly pings: string[] = []
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
    const icmp = packet.subarray((packet[0]! & 15) * 4)
    if (packet[0]! >> 4 !== 4 || packet[9] !== 1 || icmp[0] !== 8) return
    const from = Buffer.from(packet.subarray(12, 16))
    const to = Buffer.from(packet.subarray(16, 20))
    this.pings.push(`${from.join('.')} > ${to.join('.')}`)
    to.copy(packet, 12)
    from.copy(packet, 16)
    // The type goes from 8 to 0: the checksum rises by 0x0800 (RFC 1624).
    icmp[0] = 0
    const sum = icmp.readUInt16BE(2) + 0x0800
    icmp.writeUInt16BE((sum & 0xffff) + (sum >> 16), 2)
    message.fill(0, 0, HEADER)
    writeSync(this.#fd, message)
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer)
    closeSync(this.#fd)
  }
}
