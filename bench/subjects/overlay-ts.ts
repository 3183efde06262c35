import { argv } from '../../lab/argv.ts'
import type { DockerHost } from '../../lab/docker-host.ts'
import { Place } from '../place.ts'
import type { Subject } from './subject.ts'

const NETWORK = 'bench'

/** Real containers on one pooled overlay. */
export async function overlayTs(from: DockerHost, to: DockerHost): Promise<Subject> {
  const [client, server] = await Promise.all([from, to].map(container))
  return { name: 'overlay-ts', client: client!, server: server! }
}

async function container(host: DockerHost): Promise<Place> {
  const ipam = argv`--ipam-driver overlay-ts --ipam-opt overlay=${NETWORK}`
  await host.docker('network', 'create', '-d', 'overlay-ts', ...ipam, NETWORK)
  const made = await host.run('measured', { network: NETWORK })
  const sandbox = await host.docker('inspect', '-f', '{{.NetworkSettings.SandboxKey}}', made.name)
  return new Place(await made.ip(), `/proc/${host.machine.init}/root${sandbox}`)
}
