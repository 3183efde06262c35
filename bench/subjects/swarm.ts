import { argv } from '../../lab/argv.ts'
import { tryCommand } from '../../lab/command.ts'
import type { DockerHost } from '../../lab/docker-host.ts'
import { containerPlace } from './container-place.ts'
import { removeGatewayNetwork } from './gateway-network.ts'
import type { Candidate } from './subject.ts'

const NETWORK = 'swarm-bench'
const CONTAINER = 'swarm-measured'
const SUBNET = '10.206.0.0/24'
/** For Docker's own "ingress" network, away from the other subjects' subnets. */
const INGRESS_POOL = '10.207.0.0/16'

/**
 * Docker's own overlay driver, between the same two dockerds that overlay-ts serves: one is the swarm's
 * manager, the other joins it, and plain containers attach to one overlay network. Its VXLAN device is the
 * kernel's, at port 4789, in a namespace with a bridge for each network.
 */
export const swarm: Candidate = {
  name: 'docker swarm',
  kind: 'swarm',
  about: "Docker's overlay driver, containers on an attachable network, not encrypted, MTU 1450",
  version: async () =>
    (await tryCommand(['dockerd', '--version'])).replace(/,.*/, '').toLowerCase(),
  async place({ hosts }) {
    const [manager, worker] = hosts
    await using undo = new AsyncDisposableStack()
    for (const host of hosts) undo.defer(() => leave(host))
    await manager.docker(
      ...argv`swarm init --advertise-addr ${manager.ip} --default-addr-pool ${INGRESS_POOL}`,
    )
    const token = await manager.docker('swarm', 'join-token', '--quiet', 'worker')
    await worker.docker(
      ...argv`swarm join --advertise-addr ${worker.ip} --token ${token} ${manager.ip}:2377`,
    )
    await manager.docker(
      ...argv`network create -d overlay --attachable --subnet ${SUBNET} ${NETWORK}`,
    )
    undo.defer(async () => void (await manager.docker('network', 'rm', NETWORK)))
    const places = []
    for (const host of hosts) {
      const container = await host.run(CONTAINER, { network: NETWORK })
      undo.defer(() => container.remove())
      places.push(await containerPlace(container, NETWORK))
    }
    const done = undo.move()
    return {
      client: places[0]!,
      server: places[1]!,
      processes: () => [],
      remove: () => done.disposeAsync(),
    }
  },
}

/** Also where it never joined. */
async function leave(host: DockerHost): Promise<void> {
  await host.docker('swarm', 'leave', '--force').catch(() => {})
  await removeGatewayNetwork(host)
}
