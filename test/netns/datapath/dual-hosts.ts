import type { ForwardingTables } from '../../../src/datapath/tables.ts'
import { type Ipv4, parseIpv4 } from '../../../src/net/ipv4.ts'
import { formatIp, type Ipv6, parseIpv6 } from '../../../src/net/ipv6.ts'
import { overlayMtu } from '../../../src/net/mtu.ts'
import { dualTablesOf, MAC_A, MAC_B } from '../../support/naive-ports.ts'
import { Netns } from '../../support/netns.ts'
import type { ForwarderSetup } from '../../support/run-forwarder.ts'
import { untilUp } from '../../support/until-up.ts'
import { acquaint, limitSockets, macOf } from './links.ts'
import { ForwarderProcess, type HostName } from './two-hosts.ts'

const PORT = 8472
export const OTHER = { a: 'b', b: 'a' } as const
const VTEP = { a: MAC_A, b: MAC_B }
const SUBNET = { a: 'fd00:5:1::/64', b: 'fd00:5:2::/64' }
/** The hosts' own addresses in the overlay. */
export const OWN = { a: 'fd00:5:1::1', b: 'fd00:5:2::1' }
export const OWN4 = { a: '10.5.1.0', b: '10.5.2.0' }
const SUBNET4 = { a: '10.5.1.0/24', b: '10.5.2.0/24' }

/** The network between the hosts. */
export interface Underlay {
  readonly family: 'ipv4' | 'ipv6'
  readonly a: Ipv4 | Ipv6
  readonly b: Ipv4 | Ipv6
  readonly length: number
}

export const UNDERLAYS: readonly Underlay[] = [
  { family: 'ipv4', a: parseIpv4('10.9.9.1'), b: parseIpv4('10.9.9.2'), length: 24 },
  { family: 'ipv6', a: parseIpv6('fd00:9::1'), b: parseIpv6('fd00:9::2'), length: 64 },
]

/** Two hosts whose overlay has IPv6 and IPv4 subnets, and between which either may be spoken. */
export class DualHosts implements AsyncDisposable {
  readonly mtu: number
  readonly #underlay: Underlay
  readonly #stack = new AsyncDisposableStack()
  readonly #hosts: Readonly<Record<HostName, Netns>>

  private constructor(underlay: Underlay, a: Netns, b: Netns) {
    this.mtu = overlayMtu(1500, underlay.family)
    this.#underlay = underlay
    this.#hosts = { a, b }
  }

  static async create(underlay: Underlay): Promise<DualHosts> {
    await using stack = new AsyncDisposableStack()
    const a = stack.use(await Netns.create('a'))
    const b = stack.use(await Netns.create('b'))
    const hosts = new DualHosts(underlay, a, b)
    await hosts.ip('a', `link add u0 type veth peer name u0 netns ${hosts.host('b').name}`)
    for (const name of ['a', 'b'] as const) {
      await hosts.ip(name, `addr add ${formatIp(underlay[name])}/${underlay.length} dev u0`)
      await hosts.ip(name, 'link set u0 up')
      await limitSockets(hosts.host(name))
    }
    for (const name of ['a', 'b'] as const) {
      const other = OTHER[name]
      await untilUp(hosts.host(name), 'u0')
      const mac = await macOf(hosts.host(other), 'u0')
      await acquaint(hosts.host(name), 'u0', { address: formatIp(underlay[other]), mac })
    }
    hosts.#stack.use(stack.move())
    return hosts
  }

  host(name: HostName): Netns {
    return this.#hosts[name]
  }

  async ip(name: HostName, line: string): Promise<void> {
    // Duplicate address detection would keep addresses from use for a second.
    const nodad = /^addr add .*:/.test(line) ? ['nodad'] : []
    await this.host(name).run('ip', ...line.split(' '), ...nodad)
  }

  /** Our forwarder, with its device, addresses and routes. */
  async ours(name: HostName, choices: Partial<ForwarderSetup> = {}): Promise<ForwarderProcess> {
    const other = OTHER[name]
    for (const line of [
      'tuntap add dev ov-tun mode tun multi_queue vnet_hdr',
      `link set ov-tun mtu ${this.mtu} txqueuelen 1000 up`,
      `addr add ${OWN[name]}/128 dev ov-tun`,
      `addr add ${OWN4[name]}/32 dev ov-tun`,
      `route add ${SUBNET[other]} dev ov-tun src ${OWN[name]}`,
      `route add ${SUBNET4[other]} dev ov-tun src ${OWN4[name]}`,
    ]) {
      await this.ip(name, line)
    }
    const tables = dualTablesOf(name, this.mtu)
    const remote = tables.remote.map((subnet) => ({ ...subnet, publicIp: this.#underlay[other] }))
    const forwarder = await ForwarderProcess.startUp(this.host(name), {
      bindIp: this.#underlay[name],
      port: PORT,
      tunName: 'ov-tun',
      workers: 1,
      tables: { ...tables, remote } satisfies ForwardingTables,
      ...choices,
    })
    return this.#stack.use(forwarder)
  }

  /** The kernel's own VXLAN device, programmed as flannel does, with checksums on its outer packets. */
  async kernel(name: HostName): Promise<void> {
    const other = OTHER[name]
    const [local, remote] = [formatIp(this.#underlay[name]), formatIp(this.#underlay[other])]
    const checksums = this.#underlay.family === 'ipv6' ? ' noudp6zerocsumtx' : ''
    for (const line of [
      `link add vx address ${VTEP[name]} mtu ${this.mtu} type vxlan id 7 local ${local} dev u0 dstport ${PORT} nolearning${checksums}`,
      `addr add ${OWN[name]}/128 dev vx`,
      `addr add ${OWN4[name]}/32 dev vx`,
      'link set vx up',
      `neigh replace ${OWN[other]} lladdr ${VTEP[other]} dev vx nud permanent`,
      `neigh replace ${OWN4[other]} lladdr ${VTEP[other]} dev vx nud permanent`,
      `route replace ${SUBNET[other]} via ${OWN[other]} dev vx onlink src ${OWN[name]}`,
      `route replace ${SUBNET4[other]} via ${OWN4[other]} dev vx onlink src ${OWN4[name]}`,
    ]) {
      await this.ip(name, line)
    }
    const entry = `fdb replace ${VTEP[other]} dev vx dst ${remote} self permanent`
    await this.host(name).run('bridge', ...entry.split(' '))
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stack.disposeAsync()
  }
}
