import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { argv } from '../../lab/argv.ts'
import type { DockerHost } from '../../lab/docker-host.ts'
import type { Place } from '../place.ts'
import { containerPlace } from './container-place.ts'
import type { Candidate } from './subject.ts'

const NETWORK = 'bench'
const CONTAINER = 'measured'

/** Real containers on one pooled overlay, with the settings that the README gives. */
export const overlayTs: Candidate = {
  name: 'overlay-ts',
  kind: 'ours',
  about: 'containers on a pooled overlay, settings as they come, MTU 1450',
  version: async () => {
    const manifest = join(import.meta.dirname, '..', '..', 'package.json')
    const { version } = JSON.parse(readFileSync(manifest, 'utf8')) as { version: string }
    return version
  },
  async place({ hosts }) {
    const [client, server] = await Promise.all(hosts.map(container))
    return {
      client: client!,
      server: server!,
      processes: ({ plugin }) => (plugin.pid === undefined ? [] : [plugin.pid]),
      async remove() {
        for (const host of hosts) {
          await host.container(CONTAINER).remove()
          await host.docker('network', 'rm', NETWORK)
        }
      },
    }
  },
}

async function container(host: DockerHost): Promise<Place> {
  const ipam = argv`--ipam-driver overlay-ts --ipam-opt overlay=${NETWORK}`
  await host.docker('network', 'create', '-d', 'overlay-ts', ...ipam, NETWORK)
  return containerPlace(await host.run(CONTAINER, { network: NETWORK }), NETWORK)
}
