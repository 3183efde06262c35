import { argv } from '../../lab/argv.ts'
import type { OwnBench } from '../bench.ts'
import { median } from '../statistics.ts'

const TIMES = 9

export const networkCreate: OwnBench = {
  kind: 'own',
  name: 'create',
  title: 'Creating networks',
  about: `The docker command from start to end, ${TIMES} times: a lease in etcd, a bridge, routes and rules.`,
  figures: [
    { id: 'create-p50', what: 'docker network create, median', unit: 'ms', better: 'less' },
    { id: 'create-most', what: 'the slowest', unit: 'ms', better: 'less' },
  ],
  async run({ hosts: [host] }) {
    const times: number[] = []
    for (let made = 0; made < TIMES; made++) {
      const name = `created-${made}`
      const ipam = argv`--ipam-driver overlay-ts --ipam-opt overlay=${name}`
      const started = performance.now()
      await host.docker('network', 'create', '-d', 'overlay-ts', ...ipam, name)
      times.push(performance.now() - started)
      await host.docker('network', 'rm', name)
    }
    return { 'create-p50': median(times), 'create-most': Math.max(...times) }
  },
}
