import { GATEWAY, macOf, UNDERLAY_PREFIX_LENGTH } from './address.ts'
import { command } from './command.ts'
import { netnsName } from './record.ts'

/** The name of the switch among a lab's machines. */
export const SWITCH = 'switch'

/** The switch's own link. */
export const BRIDGE = 'br0'

/**
 * The wires of a lab: a namespace that holds a bridge, and the default gateway of all hosts as the
 * bridge's own address. Behind the gateway is nothing: what goes there is answered "unreachable" at once.
 */
export class Switch {
  readonly netns: string
  readonly mtu: number

  constructor(lab: string, mtu: number) {
    this.netns = netnsName(lab, SWITCH)
    this.mtu = mtu
  }

  async create(): Promise<void> {
    await command(['ip', 'netns', 'add', this.netns])
    await this.#batch([
      `link add ${BRIDGE} address ${macOf(GATEWAY)} mtu ${this.mtu} type bridge stp_state 0 forward_delay 0 mcast_snooping 0`,
      `addr add ${GATEWAY}/${UNDERLAY_PREFIX_LENGTH} dev ${BRIDGE}`,
      `link set ${BRIDGE} up`,
      'link set lo up',
      'route add unreachable default',
    ])
    // Frames between ports are no business of iptables; the second file is absent where br_netfilter is.
    await this.exec(
      'sh',
      '-c',
      `echo 1 >/proc/sys/net/ipv4/ip_forward
      for f in /proc/sys/net/bridge/bridge-nf-call-*tables; do if [ -e "$f" ]; then echo 0 >"$f"; fi; done`,
    )
  }

  /** Connects a namespace: `eth0` there, `port-NAME` here, and the default route to the gateway. */
  async connect(machine: string, netns: string, ip: string): Promise<void> {
    const port = portName(machine)
    await this.#batch([
      `link add ${port} mtu ${this.mtu} type veth peer name eth0 address ${macOf(ip)} mtu ${this.mtu} netns ${netns}`,
      `link set ${port} master ${BRIDGE} up`,
    ])
    await command(['ip', '-n', netns, '-batch', '-'], {
      input: [
        `addr add ${ip}/${UNDERLAY_PREFIX_LENGTH} dev eth0`,
        'link set eth0 up',
        `route add default via ${GATEWAY} dev eth0`,
      ].join('\n'),
    })
  }

  /** Takes a machine's cable away, as its end does. */
  async disconnect(machine: string): Promise<void> {
    await this.#batch([`link del ${portName(machine)}`])
  }

  /** Pulls the cable: the machine's link stays up, nothing passes. */
  async unplug(machine: string): Promise<void> {
    await this.#batch([`link set ${portName(machine)} nomaster`])
  }

  async plug(machine: string): Promise<void> {
    await this.#batch([`link set ${portName(machine)} master ${BRIDGE}`])
  }

  /** Runs a program on the switch, for example a capture of a port. */
  async exec(...argv: string[]): Promise<string> {
    return command(['ip', 'netns', 'exec', this.netns, ...argv])
  }

  async #batch(lines: readonly string[]): Promise<void> {
    await command(['ip', '-n', this.netns, '-batch', '-'], { input: lines.join('\n') })
  }
}

/** The switch's side of a machine's cable. */
export function portName(machine: string): string {
  return `port-${machine}`
}
