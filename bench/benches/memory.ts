import { readFileSync } from 'node:fs'
import { OverlayError } from '../../src/errors.ts'
import type { Bench } from '../bench.ts'

/** Comes last: the memory of a daemon that has done all of the above. */
export const memory: Bench = {
  name: 'memory',
  title: 'Memory',
  about:
    "The daemon's resident set (VmRSS) on the host that was measured the most, after all of the above.",
  async run({ hosts, say }) {
    const sizes = hosts.map(({ name, plugin }) => {
      const text = readFileSync(`/proc/${plugin.pid}/status`, 'utf8')
      const found = /^VmRSS:\s+(\d+) kB/m.exec(text)
      if (found) return Number(found[1]) / 1024
      throw new OverlayError('host_state', `the plugin of ${name} tells no VmRSS`)
    })
    say(`resident: ${sizes.map((size) => `${size.toFixed(0)} MB`).join(', ')}`)
    return [
      {
        what: 'daemon, resident',
        unit: 'MB',
        ours: Math.max(...sizes),
        reference: null,
        target: { of: 'ours', atMost: 150 },
        note: `both hosts ${sizes.map((size) => size.toFixed(0)).join(' and ')}`,
      },
    ]
  },
}
