import { release } from 'node:os'
import type { DockerHost } from '../../lab/docker-host.ts'
import { bridgedNamespaces, script, type BridgedSide } from './bridged-namespaces.ts'
import { fakeSubnets, type FakeSubnet } from './fake-subnets.ts'
import type { Candidate } from './subject.ts'

const VNI = 77
/** Beside overlay-ts on the same hosts. */
const PORT = 8473
const MTU = 1450
const DEVICE = 'kv-vxlan'

/**
 * The kernel's own VXLAN device as flannel programs it (pkg/backend/vxlan/{device,vxlan_network}.go): no
 * learning, the device has the subnet's first address as a /32, and for each other subnet there are a
 * permanent neighbour of the same kind of address, a permanent forwarding entry of its MAC to the host,
 * and a route to that neighbour "onlink".
 */
export const kernelVxlan: Candidate = {
  name: 'kernel vxlan',
  kind: 'kernel',
  about:
    'the vxlan device as flannel programs it: nolearning, a permanent neighbour, forwarding entry and onlink route for each subnet, MTU 1450',
  version: async () => `Linux ${release().replace(/-.*/, '')}`,
  async place(site) {
    const { sides, remove } = await bridgedNamespaces(site, {
      short: 'kv',
      digit: 0,
      net: '10.200',
      mtu: MTU,
    })
    const [client, server] = sides
    await using undo = new AsyncDisposableStack()
    undo.defer(remove)
    for (const side of sides) {
      await connect(side)
      undo.defer(async () => void (await side.host.machine.exec(deletion)))
    }
    const done = undo.move()
    return {
      client: client.place,
      server: server.place,
      processes: () => [],
      fill: async (count) => {
        for (const { host } of sides) await program(host, fakeSubnets(count))
      },
      remove: () => done.disposeAsync(),
    }
  },
}

const deletion = script(`ip link delete ${DEVICE}`)

/** Of the device on the host with the subnet 10.200.1.0/24: 02:00:0a:c8:01:00. */
const macOf = (subnet: string): string => `02:00:${hex([...subnet.split('.'), '0'])}`

async function connect({ host, other, own, far }: BridgedSide): Promise<void> {
  await host.machine.exec(
    script(`
      ip link add ${DEVICE} address ${macOf(own)} mtu ${MTU} type vxlan \\
        id ${VNI} local ${host.ip} dev eth0 dstport ${PORT} nolearning
      ip addr add ${own}.0/32 dev ${DEVICE}
      ip link set ${DEVICE} up`),
  )
  await program(host, [{ subnet: far, mac: macOf(far), publicIp: other.ip }])
}

/** What flannel does when it hears of a subnet. */
async function program(host: DockerHost, subnets: readonly FakeSubnet[]): Promise<void> {
  const batch = async (tool: string, line: (subnet: FakeSubnet) => string): Promise<void> => {
    await host.machine.exec([tool, '-batch', '-'], {
      input: `${subnets.map(line).join('\n')}\n`,
      timeout: 300_000,
    })
  }
  await batch(
    'ip',
    (s) => `neigh replace ${s.subnet}.0 lladdr ${s.mac} dev ${DEVICE} nud permanent`,
  )
  await batch(
    'bridge',
    (s) => `fdb replace ${s.mac} dev ${DEVICE} dst ${s.publicIp} self permanent`,
  )
  await batch('ip', (s) => `route replace ${s.subnet}.0/24 via ${s.subnet}.0 dev ${DEVICE} onlink`)
}

const hex = (numbers: readonly string[]): string =>
  numbers.map((number) => Number(number).toString(16).padStart(2, '0')).join(':')
