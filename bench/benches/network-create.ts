import { argv } from '../../lab/argv.ts'
import type { Bench } from '../bench.ts'
import { median } from '../statistics.ts'

const TIMES = 9

export const networkCreate: Bench = {
  name: 'create',
  title: 'Creating networks',
  about: `The docker command from start to end, ${TIMES} times: a lease in etcd, a bridge, routes and rules.`,
  async run({ hosts: [host], say }) {
    const times: number[] = []
    for (let made = 0; made < TIMES; made++) {
      const name = `created-${made}`
      const ipam = argv`--ipam-driver overlay-ts --ipam-opt overlay=${name}`
      const started = performance.now()
      await host.docker('network', 'create', '-d', 'overlay-ts', ...ipam, name)
      times.push(performance.now() - started)
      await host.docker('network', 'rm', name)
    }
    say(`docker network create: ${median(times).toFixed(0)} ms`)
    return [
      {
        what: 'docker network create, median',
        unit: 'ms',
        ours: median(times),
        reference: null,
        target: null,
        note: `${TIMES} times, ${Math.min(...times).toFixed(0)}–${Math.max(...times).toFixed(0)}`,
      },
    ]
  },
}
