import { command } from '../../../lab/command.ts'
import { hostIp } from '../../../lab/address.ts'
import type { Lab } from '../../../lab/lab.ts'
import { netnsName } from '../../../lab/record.ts'
import { parseIpv4 } from '../../../src/net/ipv4.ts'
import { naivePacket, PLAIN, UDP } from '../../support/naive-packets.ts'

const SENDER = new URL('../../support/send-ip-packets.ts', import.meta.url).pathname

export interface Datagram {
  /** What the IP header says, whoever sends it. */
  readonly source: string
  readonly destination: string
  readonly tos?: number
  readonly payload: Uint8Array
}

/** A computer on the lab's switch that belongs to no overlay, and sends what it likes. */
export class Stranger {
  readonly ip: string
  readonly #netns: string

  private constructor(ip: string, netns: string) {
    this.ip = ip
    this.#netns = netns
  }

  /** Is removed with the lab. @param name a number that is no host's, as of hosts */
  static async join(lab: Lab, name: string): Promise<Stranger> {
    const [ip, netns] = [hostIp(name), netnsName(lab.name, name)]
    await command(['ip', 'netns', 'add', netns])
    await lab.switch.connect(name, netns, ip)
    return new Stranger(ip, netns)
  }

  /** Sends one UDP datagram to the VXLAN port, its IP and UDP headers sound. */
  async send({ source, destination, tos = 0, payload }: Datagram): Promise<void> {
    const packet = naivePacket({
      ...PLAIN,
      source: parseIpv4(source),
      destination: parseIpv4(destination),
      tos,
      ttl: 64,
      protocol: UDP,
      sourcePort: 45_000,
      destinationPort: 8472,
      payload,
    })
    await command(['ip', 'netns', 'exec', this.#netns, process.execPath, SENDER], {
      input: Buffer.from(packet).toString('hex'),
    })
  }
}
