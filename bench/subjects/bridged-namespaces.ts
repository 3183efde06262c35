import { command, tryCommand } from '../../lab/command.ts'
import type { DockerHost } from '../../lab/docker-host.ts'
import { netnsName } from '../../lab/record.ts'
import { Place } from '../place.ts'
import type { Site } from './subject.ts'

export interface BridgedOptions {
  /** Begins the names of interfaces: "wg" gives wg-bridge and wg-port. */
  readonly short: string
  /** Tells the subject's namespaces from the others' of a host: one digit. */
  readonly digit: number
  /** The first host has NET.1.0/24, the second NET.2.0/24: "10.201". */
  readonly net: string
  readonly mtu: number
  /** The largest super-packet that the namespace's interface takes, in bytes; the kernel's 65,536 unless told. */
  readonly gsoMaxSize?: number
}

/** One host's end: a namespace behind a bridge, as a container is. */
export interface BridgedSide {
  readonly host: DockerHost
  readonly other: DockerHost
  /** "10.201.1", of 10.201.1.0/24; the bridge is .1, the namespace .2. */
  readonly own: string
  readonly far: string
  readonly place: Place
}

export interface BridgedNamespaces {
  readonly sides: readonly [BridgedSide, BridgedSide]
  readonly remove: () => Promise<void>
}

/**
 * Makes a namespace on each host that hangs on a bridge by a veth pair, as containers do, and passes the
 * same firewall; what leads from one host's subnet to the other's is the caller's to make.
 */
export async function bridgedNamespaces(
  { lab, hosts: [first, second] }: Site,
  { short, digit, net, mtu, gsoMaxSize }: BridgedOptions,
): Promise<BridgedNamespaces> {
  const sizes = `mtu ${mtu}${gsoMaxSize === undefined ? '' : ` gso_max_size ${gsoMaxSize}`}`
  const [bridge, port] = [`${short}-bridge`, `${short}-port`]
  // A number, so that the namespace goes with the lab.
  const netnsOf = (host: DockerHost): string => netnsName(lab.name, `${host.name}${digit}`)
  const make = async (
    host: DockerHost,
    other: DockerHost,
    own: string,
    far: string,
  ): Promise<BridgedSide> => {
    const netns = netnsOf(host)
    await host.machine.exec(
      script(`
        ip link add ${bridge} type bridge
        ip addr add ${own}.1/24 dev ${bridge}
        ip link set ${bridge} mtu ${mtu} up
        iptables -I DOCKER-USER -i ${bridge} -j ACCEPT
        iptables -I DOCKER-USER -o ${bridge} -j ACCEPT`),
    )
    await command(
      script(`
        ip netns add ${netns}
        ip -n ${host.machine.netns} link add ${port} ${sizes} type veth peer name eth0 ${sizes} netns ${netns}
        ip -n ${host.machine.netns} link set ${port} master ${bridge} up
        ip -n ${netns} link set lo up
        ip -n ${netns} addr add ${own}.2/24 dev eth0
        ip -n ${netns} link set eth0 up
        ip -n ${netns} route add default via ${own}.1`),
    )
    return { host, other, own, far, place: new Place(`${own}.2`, `/run/netns/${netns}`) }
  }
  const remove = async (): Promise<void> => {
    for (const host of [first, second]) {
      await tryCommand(['ip', 'netns', 'delete', netnsOf(host)])
      await tryCommand([
        ...host.machine.enter(),
        'sh',
        '-c',
        `ip link delete ${port}; ip link delete ${bridge}
        iptables -D DOCKER-USER -i ${bridge} -j ACCEPT
        iptables -D DOCKER-USER -o ${bridge} -j ACCEPT`,
      ])
    }
  }
  const [near, far] = [`${net}.1`, `${net}.2`]
  try {
    const sides: [BridgedSide, BridgedSide] = [
      await make(first, second, near, far),
      await make(second, first, far, near),
    ]
    return { sides, remove }
  } catch (error) {
    await remove()
    throw error
  }
}

/** A shell script that ends at the first line that fails. */
export const script = (text: string): string[] => ['sh', '-ec', text]
