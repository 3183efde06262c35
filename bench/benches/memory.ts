import { readFileSync } from 'node:fs'
import { OverlayError } from '../../src/errors.ts'
import type { OwnBench } from '../bench.ts'

/** Comes when the daemon has done all else. */
export const memory: OwnBench = {
  kind: 'own',
  name: 'memory',
  title: 'Memory',
  about:
    "The daemon's resident set (VmRSS) on the host where it is larger, after all of the above.",
  figures: [{ id: 'resident', what: 'daemon, resident', unit: 'MB', better: 'less' }],
  run({ hosts }) {
    const sizes = hosts.map(({ name, plugin }) => {
      const text = readFileSync(`/proc/${plugin.pid}/status`, 'utf8')
      const found = /^VmRSS:\s+(\d+) kB/m.exec(text)
      if (found) return Number(found[1]) / 1024
      throw new OverlayError('host_state', `the plugin of ${name} tells no VmRSS`)
    })
    return Promise.resolve({ resident: Math.max(...sizes) })
  },
}
