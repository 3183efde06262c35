import { Relay } from '../../../lab/relay.ts'
import type { ForwardingTables } from '../../../src/datapath/tables.ts'
import { parseCidr } from '../../../src/net/cidr.ts'
import { parseIpv4 } from '../../../src/net/ipv4.ts'
import { Netns } from '../../support/netns.ts'
import type { ForwarderSetup } from '../../support/run-forwarder.ts'
import {
  TRAFFIC_PORT,
  type Echo,
  type Transfer,
  type Transferred,
} from '../../support/run-traffic.ts'
import { OrderProcess } from '../../../lab/order-process.ts'
import { untilUp } from '../../support/until-up.ts'
import { acquaint, macOf } from './links.ts'
import { ForwarderProcess, programIn } from './two-hosts.ts'

export const VXLAN_PORT = 8472
const VNI = 7
const MTU = 1450
const TRAFFIC = new URL('../../support/run-traffic.ts', import.meta.url).pathname

export type SiteName = 'a' | 'b' | 'c'
const NUMBERS: Readonly<Record<SiteName, number>> = { a: 1, b: 2, c: 3 }

/**
 * Addresses of a container, all usable at any time: what a TCP connection between two of a kind may put
 * in a segment, options included, is the number.
 */
export const SEGMENT_SIZES = { mtu: 1410, odd: 1397, small: 536 } as const
export type SegmentSize = keyof typeof SEGMENT_SIZES
const ENDINGS: Readonly<Record<SegmentSize, number>> = { mtu: 2, odd: 3, small: 4 }

/**
 * A host with a bridge and one container behind it, as the daemon and Docker make them.
 *
 *   container eth0 ── v0 ─ br0 ── routing ── ov-tun (ours) or vx (the kernel's) ── u0
 *   10.5.N.2          10.5.N.1/24                                    10.9.9.N/24
 */
export class Site {
  readonly name: SiteName
  readonly host: Netns
  readonly container: Netns
  readonly underlay: string
  readonly subnet: string
  readonly mac: string
  readonly gateway: string

  constructor(name: SiteName, host: Netns, container: Netns) {
    const number = NUMBERS[name]
    this.name = name
    this.host = host
    this.container = container
    this.underlay = `10.9.9.${number}`
    this.subnet = `10.5.${number}.0/24`
    this.gateway = `10.5.${number}.1`
    this.mac = `02:00:00:00:00:0${name}`
  }

  /** The container's address for connections of a segment size. */
  address(size: SegmentSize = 'mtu'): string {
    return `10.5.${NUMBERS[this.name]}.${ENDINGS[size]}`
  }

  /** Link, bridge and container; no underlay yet. */
  async furnish(): Promise<void> {
    for (const netns of [this.host, this.container]) {
      await netns.run('sysctl', '-qw', ...QUIET)
    }
    await batch(this.host, [
      `link add br0 mtu ${MTU} type bridge stp_state 0 forward_delay 0 mcast_snooping 0`,
      `addr add ${this.gateway}/24 dev br0`,
      `link add v0 mtu ${MTU} type veth peer name eth0 mtu ${MTU} netns ${this.container.name}`,
      'link set v0 master br0 up',
      'link set br0 up',
    ])
    const sizes = Object.keys(SEGMENT_SIZES) as SegmentSize[]
    await batch(this.container, [
      ...sizes.map((size) => `addr add ${this.address(size)}/24 dev eth0`),
      'link set eth0 up',
      `route add default via ${this.gateway}`,
      // The other end sends no larger segments than this one announces.
      ...sizes.map(
        (size) =>
          `route add 10.5.0.0/16 via ${this.gateway} advmss ${SEGMENT_SIZES[size]} table ${ENDINGS[size]}`,
      ),
      ...sizes.map((size) => `rule add from ${this.address(size)} lookup ${ENDINGS[size]}`),
    ])
    await untilUp(this.host, 'v0', 'br0')
    await untilUp(this.container, 'eth0')
    const gateway = { address: this.gateway, mac: await macOf(this.host, 'br0') }
    await acquaint(this.container, 'eth0', gateway)
    const mac = await macOf(this.container, 'eth0')
    for (const size of sizes) await acquaint(this.host, 'br0', { address: this.address(size), mac })
  }
}

/** No IPv6, whose router and listener messages would be counted among what tests send. */
const QUIET = [
  'net.ipv4.ip_forward=1',
  'net.ipv6.conf.all.disable_ipv6=1',
  'net.ipv6.conf.default.disable_ipv6=1',
]

export async function batch(netns: Netns, lines: readonly string[]): Promise<void> {
  for (const line of lines) await netns.run('ip', ...line.split(' '))
}

/** Hosts of one overlay, each with a container. A test wires their underlays and chooses their tunnels. */
export class Sites implements AsyncDisposable {
  readonly sites: readonly Site[]
  readonly #stack = new AsyncDisposableStack()

  private constructor(sites: readonly Site[]) {
    this.sites = sites
  }

  static async create(...names: readonly SiteName[]): Promise<Sites> {
    await using stack = new AsyncDisposableStack()
    const sites: Site[] = []
    for (const name of names) {
      const host = stack.use(await Netns.create(name))
      const container = stack.use(await Netns.create(`${name}-container`))
      const site = new Site(name, host, container)
      await site.furnish()
      sites.push(site)
    }
    const made = new Sites(sites)
    made.#stack.use(stack.move())
    return made
  }

  site(name: SiteName): Site {
    return this.sites.find((site) => site.name === name)!
  }

  /** A veth pair between the first two, `u0` on both. */
  async wirePair(): Promise<void> {
    const [one, other] = this.sites as readonly [Site, Site]
    await batch(one.host, [`link add u0 type veth peer name u0 netns ${other.host.name}`])
    for (const site of this.sites) await this.addressUnderlay(site)
    for (const site of this.sites) await untilUp(site.host, 'u0')
    await this.#acquaintHosts()
  }

  /** One veth each to a bridge in a namespace of its own, whose ports are `port-` and the host. */
  async wireSwitch(): Promise<Netns> {
    const middle = this.#stack.use(await Netns.create('switch'))
    await middle.run('sysctl', '-qw', ...QUIET)
    await batch(middle, ['link add br0 type bridge stp_state 0 forward_delay 0 mcast_snooping 0'])
    await batch(middle, ['link set br0 up'])
    for (const site of this.sites) {
      await batch(middle, [
        `link add port-${site.name} type veth peer name u0 netns ${site.host.name}`,
        `link set port-${site.name} master br0 up`,
      ])
      await this.addressUnderlay(site)
      await untilUp(site.host, 'u0')
      await untilUp(middle, `port-${site.name}`)
    }
    await this.#acquaintHosts()
    return middle
  }

  /** A cable between the first two that can be made bad. */
  async wireRelay(): Promise<Relay> {
    const [left, right] = this.sites.map(({ host }) => ({ netns: host.name, device: 'u0' }))
    const relay = this.#stack.use(await Relay.between(left!, right!, VXLAN_PORT))
    for (const site of this.sites) await this.addressUnderlay(site)
    await this.#acquaintHosts()
    return relay
  }

  async addressUnderlay(site: Site): Promise<void> {
    await batch(site.host, [`addr add ${site.underlay}/24 dev u0`, 'link set u0 up'])
  }

  tables(of: SiteName): ForwardingTables {
    const own = this.site(of)
    return {
      vtepMac: own.mac,
      local: [{ subnet: parseCidr(own.subnet), vni: VNI }],
      remote: this.#others(own).map((site) => ({
        subnet: parseCidr(site.subnet),
        vni: VNI,
        publicIp: parseIpv4(site.underlay),
        vtepMac: site.mac,
        mtu: MTU,
      })),
    }
  }

  /** A router between the first two, with a link to each: `to-a` and `to-b`. */
  async wireRouter(): Promise<Netns> {
    const router = this.#stack.use(await Netns.create('router'))
    await router.run('sysctl', '-qw', ...QUIET)
    const [one, other] = this.sites as readonly [Site, Site]
    for (const [site, beyond] of [
      [one, other],
      [other, one],
    ] as const) {
      const via = `10.9.8.${NUMBERS[site.name]}`
      await batch(router, [
        `link add to-${site.name} type veth peer name u0 netns ${site.host.name}`,
        `addr add ${via}/32 dev to-${site.name}`,
        `link set to-${site.name} up`,
        `route add ${site.underlay} dev to-${site.name}`,
      ])
      await batch(site.host, [
        `addr add ${site.underlay}/32 dev u0`,
        'link set u0 up',
        `route add ${via} dev u0`,
        `route add ${beyond.underlay} via ${via}`,
      ])
      await untilUp(site.host, 'u0')
      await untilUp(router, `to-${site.name}`)
      const mac = await macOf(router, `to-${site.name}`)
      await acquaint(site.host, 'u0', { address: via, mac })
      const own = { address: site.underlay, mac: await macOf(site.host, 'u0') }
      await acquaint(router, `to-${site.name}`, own)
    }
    return router
  }

  /** Our forwarder, with its device and routes. It ends with the sites. */
  async ours(
    name: SiteName,
    workers = 1,
    choices: Partial<ForwarderSetup> = {},
  ): Promise<ForwarderProcess> {
    const site = this.site(name)
    await batch(site.host, [
      'tuntap add dev ov-tun mode tun multi_queue vnet_hdr',
      `link set ov-tun mtu ${MTU} txqueuelen 1000 up`,
      ...this.#others(site).map(
        ({ subnet }) => `route add ${subnet} dev ov-tun src ${site.gateway}`,
      ),
    ])
    const setup: ForwarderSetup = {
      bindIp: parseIpv4(site.underlay),
      port: VXLAN_PORT,
      tunName: 'ov-tun',
      workers,
      tables: this.tables(name),
      ...choices,
    }
    return this.#stack.use(await ForwarderProcess.startUp(site.host, setup))
  }

  /** The kernel's own VXLAN device, programmed as flannel does. */
  async kernel(name: SiteName): Promise<void> {
    const site = this.site(name)
    await batch(site.host, [
      `link add vx address ${site.mac} mtu ${MTU} type vxlan id ${VNI} local ${site.underlay} dev u0 dstport ${VXLAN_PORT} nolearning`,
      'link set vx up',
    ])
    for (const other of this.#others(site)) {
      const via = other.subnet.replace('/24', '')
      await batch(site.host, [
        `neigh replace ${via} lladdr ${other.mac} dev vx nud permanent`,
        `route replace ${other.subnet} via ${via} dev vx onlink src ${site.gateway}`,
      ])
      const entry = `fdb replace ${other.mac} dev vx dst ${other.underlay} self permanent`
      await site.host.run('bridge', ...entry.split(' '))
    }
  }

  /** A program in the container that sends and answers. It ends with the sites. */
  async traffic(name: SiteName): Promise<Traffic> {
    const { container } = this.site(name)
    return new Traffic(
      this.#stack.use(await OrderProcess.start(programIn(container, process.execPath, TRAFFIC))),
    )
  }

  /** Those on one underlay with each other. */
  async #acquaintHosts(): Promise<void> {
    for (const site of this.sites) {
      const own = { address: site.underlay, mac: await macOf(site.host, 'u0') }
      for (const { host } of this.#others(site)) await acquaint(host, 'u0', own)
    }
  }

  #others(own: Site): Site[] {
    return this.sites.filter((site) => site !== own)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stack.disposeAsync()
  }
}

/** The traffic program of one container; its port is TRAFFIC_PORT on all its addresses. */
export class Traffic {
  static readonly port = TRAFFIC_PORT
  readonly #process: OrderProcess

  constructor(process: OrderProcess) {
    this.#process = process
  }

  async transfer(transfer: Transfer): Promise<Transferred> {
    return (await this.#process.ask({ transfer })) as Transferred
  }

  async echo(echo: Echo): Promise<number[]> {
    return (await this.#process.ask({ echo })) as number[]
  }
}
