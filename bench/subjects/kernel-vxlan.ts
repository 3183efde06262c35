import { command } from '../../lab/command.ts'
import type { DockerHost } from '../../lab/docker-host.ts'
import type { Lab } from '../../lab/lab.ts'
import { netnsName } from '../../lab/record.ts'
import { Place } from '../place.ts'
import type { Subject } from './subject.ts'

const VNI = 77
/** Beside overlay-ts on the same hosts. */
const PORT = 8473
const MTU = 1450

interface Side {
  readonly host: DockerHost
  /** Its subnet is 10.200.SUBNET.0/24. */
  readonly subnet: number
}

/**
 * The kernel's own VXLAN device programmed as flannel does it: a route, a neighbour and a forwarding
 * entry for the other host's subnet. The namespaces hang on a bridge by a veth pair as containers do,
 * on the same hosts, and pass the same firewall.
 */
export async function kernelVxlan(lab: Lab, from: DockerHost, to: DockerHost): Promise<Subject> {
  const [near, far]: [Side, Side] = [
    { host: from, subnet: 1 },
    { host: to, subnet: 2 },
  ]
  return {
    name: 'kernel vxlan',
    client: await side(lab, near, far),
    server: await side(lab, far, near),
  }
}

const macOf = ({ subnet }: Side): string => `02:00:00:00:77:0${subnet}`

async function side(lab: Lab, own: Side, other: Side): Promise<Place> {
  // A number, so that the namespace goes with the lab.
  const netns = netnsName(lab.name, `${own.host.name}0`)
  const [here, there] = [`10.200.${own.subnet}`, `10.200.${other.subnet}`]
  await own.host.machine.exec([
    'sh',
    '-ec',
    `
    ip link add kv-bridge type bridge
    ip addr add ${here}.1/24 dev kv-bridge
    ip link set kv-bridge mtu ${MTU} up
    ip link add kv-vxlan address ${macOf(own)} mtu ${MTU} type vxlan \\
      id ${VNI} local ${own.host.ip} dev eth0 dstport ${PORT} nolearning
    ip addr add ${here}.0/32 dev kv-vxlan
    ip link set kv-vxlan up
    ip neigh replace ${there}.0 lladdr ${macOf(other)} dev kv-vxlan nud permanent
    bridge fdb replace ${macOf(other)} dev kv-vxlan dst ${other.host.ip} self permanent
    ip route replace ${there}.0/24 via ${there}.0 dev kv-vxlan onlink
    iptables -I DOCKER-USER -i kv-bridge -j ACCEPT
    iptables -I DOCKER-USER -o kv-bridge -j ACCEPT`,
  ])
  await command([
    'sh',
    '-ec',
    `
    ip netns add ${netns}
    ip -n ${own.host.machine.netns} link add kv-port mtu ${MTU} type veth peer name eth0 mtu ${MTU} netns ${netns}
    ip -n ${own.host.machine.netns} link set kv-port master kv-bridge up
    ip -n ${netns} link set lo up
    ip -n ${netns} addr add ${here}.2/24 dev eth0
    ip -n ${netns} link set eth0 up
    ip -n ${netns} route add default via ${here}.1`,
  ])
  return new Place(`${here}.2`, `/run/netns/${netns}`)
}
