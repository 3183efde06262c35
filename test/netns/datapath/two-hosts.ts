import { type ChildProcess, spawn } from 'node:child_process'
import { OrderProcess } from '../../../lab/order-process.ts'
import type { CounterName } from '../../../src/datapath/counters.ts'
import type { ForwardingTables } from '../../../src/datapath/tables.ts'
import { formatCidr } from '../../../src/net/cidr.ts'
import { formatIpv4 } from '../../../src/net/ipv4.ts'
import { toJson } from '../../support/bigint-json.ts'
import { HOST_A, HOST_B, MAC_A, MAC_B, tablesOf } from '../../support/naive-ports.ts'
import { Netns } from '../../support/netns.ts'
import type {
  ForwarderOrder,
  ForwarderSetup,
  ForwarderStatus,
} from '../../support/run-forwarder.ts'
import { untilUp } from '../../support/until-up.ts'
import { acquaint, limitSockets, macOf } from './links.ts'

const PROGRAM = new URL('../../support/run-forwarder.ts', import.meta.url).pathname
const PORT = 8472
const MTU = 1450

/** A program inside a namespace whose output is read by lines. */
export function programIn(host: Netns, ...command: readonly string[]): ChildProcess {
  return spawn('nsenter', [`--net=${host.path}`, ...command], { stdio: 'pipe' })
}

/** A forwarder in a process of its own. */
export class ForwarderProcess implements AsyncDisposable {
  readonly #process: OrderProcess

  private constructor(process: OrderProcess) {
    this.#process = process
  }

  /** @throws Error with what the process printed when it does not start */
  static async start(
    host: Netns,
    setup: ForwarderSetup,
    nodeOptions: readonly string[] = [],
  ): Promise<ForwarderProcess> {
    const child = programIn(host, process.execPath, ...nodeOptions, PROGRAM, toJson(setup))
    return new ForwarderProcess(await OrderProcess.start(child))
  }

  /** For a device that is up: resolves when it takes packets, which it does with a program behind it only. */
  static async startUp(host: Netns, setup: ForwarderSetup): Promise<ForwarderProcess> {
    await using stack = new AsyncDisposableStack()
    const forwarder = stack.use(await ForwarderProcess.start(host, setup))
    await untilUp(host, setup.tunName)
    stack.move()
    return forwarder
  }

  async counters(): Promise<Record<CounterName, number>> {
    return (await this.#ask('counters')) as Record<CounterName, number>
  }

  async status(): Promise<ForwarderStatus> {
    return (await this.#ask('status')) as ForwarderStatus
  }

  get pid(): number {
    return this.#process.pid
  }

  /** Pulls a descriptor away under a worker. */
  async close(descriptor: number): Promise<void> {
    await this.#ask({ close: descriptor })
  }

  async program(tables: ForwardingTables): Promise<void> {
    await this.#ask({ tables })
  }

  /** Ends it as a daemon ends. @returns its exit code */
  async stop(): Promise<number | null> {
    this.#process.tell('stop' satisfies ForwarderOrder)
    await this.#process.ended()
    return this.#process.exitCode
  }

  /** kill -9. */
  async kill(): Promise<void> {
    await this.#process.kill()
  }

  /** Resolves with what it printed when it ends by itself. */
  async ended(): Promise<string> {
    return this.#process.ended()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#process[Symbol.asyncDispose]()
  }

  #ask(order: ForwarderOrder): Promise<unknown> {
    return this.#process.ask(order, toJson)
  }
}

export type HostName = 'a' | 'b'

const UNDERLAY = { a: HOST_A, b: HOST_B }
const VTEP = { a: MAC_A, b: MAC_B }

/** The address of the host itself in its first overlay: the .0 of its subnet. */
export const OWN = { a: '10.5.1.0', b: '10.5.2.0' }

/** Two hosts, a veth pair between them, and whatever tunnel the test asks for on each. */
export class TwoHosts implements AsyncDisposable {
  readonly a: Netns
  readonly b: Netns
  readonly #stack = new AsyncDisposableStack()

  private constructor(a: Netns, b: Netns) {
    this.a = a
    this.b = b
  }

  static async create(): Promise<TwoHosts> {
    await using stack = new AsyncDisposableStack()
    const a = stack.use(await Netns.create('a'))
    const b = stack.use(await Netns.create('b'))
    const hosts = new TwoHosts(a, b)
    const peer = ['type', 'veth', 'peer', 'name', 'u0', 'netns', hosts.b.name]
    await hosts.a.run('ip', 'link', 'add', 'u0', ...peer)
    for (const name of ['a', 'b'] as const) {
      const host = hosts[name]
      await host.run('ip', 'addr', 'add', `${formatIpv4(UNDERLAY[name])}/24`, 'dev', 'u0')
      await host.run('ip', 'link', 'set', 'u0', 'up')
      await limitSockets(host)
    }
    for (const [name, other] of [
      ['a', 'b'],
      ['b', 'a'],
    ] as const) {
      await untilUp(hosts[name], 'u0')
      const mac = await macOf(hosts[other], 'u0')
      await acquaint(hosts[name], 'u0', { address: formatIpv4(UNDERLAY[other]), mac })
    }
    hosts.#stack.use(stack.move())
    return hosts
  }

  /** A TUN device as the daemon makes it, with addresses and routes. */
  async addTun(name: HostName): Promise<void> {
    const host = this[name]
    const { local, remote } = tablesOf(name)
    const flags = ['mode', 'tun', 'multi_queue', 'vnet_hdr']
    await host.run('ip', 'tuntap', 'add', 'dev', 'ov-tun', ...flags)
    await host.run('ip', 'link', 'set', 'ov-tun', 'mtu', String(MTU), 'txqueuelen', '1000', 'up')
    for (const { subnet, vni } of local) {
      const own = formatIpv4(subnet.base)
      await host.run('ip', 'addr', 'add', `${own}/32`, 'dev', 'ov-tun')
      for (const other of remote.filter((other) => other.vni === vni)) {
        const to = formatCidr(other.subnet)
        await host.run('ip', 'route', 'add', to, 'dev', 'ov-tun', 'src', own)
      }
    }
  }

  setup(name: HostName, workers = 1): ForwarderSetup {
    const tables = tablesOf(name, MTU)
    return { bindIp: UNDERLAY[name], port: PORT, tunName: 'ov-tun', workers, tables }
  }

  /** TUN and forwarder. */
  async ours(name: HostName, workers = 1): Promise<ForwarderProcess> {
    await this.addTun(name)
    return ForwarderProcess.startUp(this[name], this.setup(name, workers))
  }

  /** The kernel's own VXLAN device for VNI 7, programmed as flannel does. */
  async kernel(name: HostName): Promise<void> {
    const other = name === 'a' ? 'b' : 'a'
    const host = this[name]
    const subnet = formatCidr(tablesOf(other).local[0]!.subnet)
    const [local, dst] = [formatIpv4(UNDERLAY[name]), formatIpv4(UNDERLAY[other])]
    for (const line of [
      `ip link add vx address ${VTEP[name]} mtu ${MTU} type vxlan id 7 local ${local} dev u0 dstport ${PORT} nolearning`,
      `ip addr add ${OWN[name]}/32 dev vx`,
      'ip link set vx up',
      `ip neigh replace ${OWN[other]} lladdr ${VTEP[other]} dev vx nud permanent`,
      `bridge fdb replace ${VTEP[other]} dev vx dst ${dst} self permanent`,
      `ip route replace ${subnet} via ${OWN[other]} dev vx onlink src ${OWN[name]}`,
    ]) {
      await host.run(...line.split(' '))
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stack.disposeAsync()
  }
}

/** Whether an echo request is answered. */
export async function pingsOnce(from: Netns, to: string, ...options: string[]): Promise<boolean> {
  return from.succeeds('busybox', 'ping', '-c', '1', '-W', '5', ...options, to)
}

/**
 * Whether any of three echo requests is answered. All namespaces of a machine share the kernel's queues of
 * its processors, so that what a test beside this one does may cost a single packet.
 */
export async function pings(from: Netns, to: string, ...options: string[]): Promise<boolean> {
  for (let request = 0; request < 3; request++) {
    if (await pingsOnce(from, to, ...options)) return true
  }
  return false
}

/** Packets that the host's TCP and UDP refused for their checksum (/proc/net/snmp). */
export async function checksumErrors(host: Netns): Promise<Record<string, number>> {
  const rows = (await host.run('cat', '/proc/net/snmp')).split('\n').map((line) => line.split(' '))
  const valueOf = (protocol: string): number => {
    const [names, values] = rows.filter(([name]) => name === `${protocol}:`)
    return Number(values?.[names?.indexOf('InCsumErrors') ?? -1])
  }
  return { tcp: valueOf('Tcp'), udp: valueOf('Udp'), icmp: valueOf('Icmp') }
}

export const NO_CHECKSUM_ERRORS = { tcp: 0, udp: 0, icmp: 0 }
