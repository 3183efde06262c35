import { containerVethName, hostVethName, type BridgePort } from '../../../src/linux/host-state.ts'
import { addVeth } from '../../../src/linux/veth.ts'
import { parseIpv4 } from '../../../src/net/ipv4.ts'
import { macOfIpv4 } from '../../../src/net/mac.ts'
import { Netns, sh } from '../../support/netns.ts'
import { untilUp } from '../../support/until-up.ts'

/** How long an answer that comes may take: the kernel asks for a lost neighbour again after a second. */
export const PATIENCE_S = 20

let endpoints = 0

/** A network namespace with eth0 in one of our bridges, as libnetwork leaves a container. */
export class Container implements AsyncDisposable {
  readonly ip: string
  /** "" without. */
  readonly ip6: string
  readonly port: BridgePort
  readonly netns: Netns

  private constructor(ip: string, ip6: string, port: BridgePort, netns: Netns) {
    this.ip = ip
    this.ip6 = ip6
    this.port = port
    this.netns = netns
  }

  /** @param address with its prefix length, as `address6`; a gateway is the default route when given */
  static async create(
    bridge: string,
    address: string,
    gateway?: string,
    { address6, gateway6 }: { readonly address6?: string; readonly gateway6?: string } = {},
  ): Promise<Container> {
    const [ip = ''] = address.split('/')
    const id = (++endpoints).toString(16).padStart(10, '0')
    const netns = await Netns.create('c')
    const port = { name: hostVethName(id), bridge, mtu: 1450, hairpin: false }
    const container = containerVethName(id)
    const mac = macOfIpv4(parseIpv4(ip))
    await addVeth({ host: port.name, container, bridge, mtu: 1450, gsoMaxSize: 62_263, mac })
    await sh(`ip link set ${container} netns ${netns.name} name eth0`)
    await netns.run('ip', 'address', 'add', address, 'dev', 'eth0')
    await netns.run('ip', 'link', 'set', 'eth0', 'up')
    await untilUp({ run: (...words) => sh(words.join(' ')) }, port.name, bridge)
    if (gateway) await netns.run('ip', 'route', 'add', 'default', 'via', gateway)
    if (address6) await netns.run('ip', 'address', 'add', address6, 'dev', 'eth0', 'nodad')
    if (gateway6) await netns.run('ip', 'route', 'add', 'default', 'via', gateway6)
    // Counts the senders of the pings that arrive.
    await netns.run('nft', 'add table ip seen')
    await netns.run('nft', 'add set ip seen from { type ipv4_addr; flags dynamic; }')
    await netns.run('nft', 'add chain ip seen in { type filter hook input priority 0; }')
    await netns.run('nft', 'add rule ip seen in icmp type echo-request add @from { ip saddr }')
    await netns.run('nft', 'add table ip6 seen')
    await netns.run('nft', 'add set ip6 seen from { type ipv6_addr; flags dynamic; }')
    await netns.run('nft', 'add chain ip6 seen in { type filter hook input priority 0; }')
    await netns.run('nft', 'add rule ip6 seen in icmpv6 type echo-request add @from { ip6 saddr }')
    return new Container(ip, address6?.split('/')[0] ?? '', port, netns)
  }

  /**
   * @param ip of either family
   * @param seconds without an answer before it is false; few where none is to come
   */
  ping(ip: string, seconds = PATIENCE_S): Promise<boolean> {
    return this.netns.succeeds('busybox', 'ping', '-c', '1', '-W', `${seconds}`, ip)
  }

  /** The senders whose pings have arrived since the last question. */
  async seen(): Promise<string[]> {
    const text = await this.netns.run('nft', 'list set ip seen from')
    await this.netns.run('nft', 'flush set ip seen from')
    return [...text.matchAll(/\d+(\.\d+){3}/g)].map(([ip]) => ip)
  }

  /** The same for IPv6. */
  async seen6(): Promise<string[]> {
    const text = await this.netns.run('nft', 'list set ip6 seen from')
    await this.netns.run('nft', 'flush set ip6 seen from')
    return [...text.matchAll(/fd[\da-f:]+/g)].map(([ip]) => ip)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.netns[Symbol.asyncDispose]()
    await sh(`ip link del ${this.port.name} 2>/dev/null || true`)
  }
}
