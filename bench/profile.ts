import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { argv } from '../lab/argv.ts'
import { command } from '../lab/command.ts'
import { bulk, serveBulk } from './iperf.ts'
import type { Profile } from './results.ts'
import { roundTrips, serveRoundTrips } from './sockperf.ts'
import type { Stage } from './stage.ts'

/** Samples a second. */
const FREQUENCY = 2000
/** Of load before the samples: the compiler has come round to the code. */
const LEAD = 3

const COPY =
  /^(_?_?(copy|memcpy|memmove|memset|clear)_|_copy_|rep_|skb_copy|__check_object_size|csum_)/
const SWITCH =
  /^(finish_task_switch|_raw_spin_unlock_irq|try_to_wake|wake_|__wake|ttwu|schedule|__schedule|select_task|enqueue_|dequeue_|pick_|update_curr|put_prev|do_sys_poll|do_poll|poll_|__pollwait|.*_poll$|add_wait|remove_wait|fdget|fput|switch_|native_sched|pv_native)/

/** The parts of a profile, in the order of the table: what they are called, and what falls into them. */
const PARTS: readonly (readonly [name: string, has: (dso: string, symbol: string) => boolean])[] = [
  ['our code: JavaScript and WebAssembly', (dso) => dso.startsWith('[JIT]')],
  ['Node: calls out of JavaScript, compiler, collector', (dso) => dso === 'node'],
  ['koffi and libc', (dso) => !dso.startsWith('[')],
  ['kernel: copying packets', (_, symbol) => COPY.test(symbol)],
  ['kernel: waiting, waking and switching', (_, symbol) => SWITCH.test(symbol)],
  ['kernel: all else, its network stack', () => true],
]

/** Shares of the parts, of 1, from lines like " 10.27%;[kernel.kallsyms];[k] _copy_from_iter". */
export function sharesOf(report: string): number[] {
  const shares = PARTS.map(() => 0)
  let all = 0
  for (const [, percent, dso, symbol] of report.matchAll(
    /^\s*([\d.]+)%\s*;\s*(.*?)\s*;\s*\[[^\]]*\]\s*(\S+)/gm,
  )) {
    const part = PARTS.findIndex(([, has]) => has(dso!, symbol!))
    shares[part]! += Number(percent)
    all += Number(percent)
  }
  return shares.map((share) => (all === 0 ? 0 : share / all))
}

/**
 * Where the time of our forwarders goes: under bulk TCP on the sending and the receiving host, and while
 * single datagrams go back and forth. perf(1) samples. @throws OverlayError host_state without it
 */
export async function measureProfile({ hosts, subjects, seconds }: Stage): Promise<Profile> {
  const [ours] = subjects
  await using _bulk = await serveBulk(ours)
  await using _trips = await serveRoundTrips(ours)
  const folder = mkdtempSync(join(tmpdir(), 'overlay-ts-profile-'))
  try {
    const sampled = async (load: Promise<unknown>): Promise<number[][]> => {
      const shares = Promise.all(
        hosts.map(async (host) => {
          const file = join(folder, `${host.name}.data`)
          const pids = ours.processes(host).join(',')
          await command(
            argv`sh -c ${`sleep ${LEAD} && exec perf record -q -e cpu-clock -F ${FREQUENCY} -o ${file} -p ${pids} -- sleep ${seconds}`}`,
          )
          const words = argv`perf report -i ${file} --stdio --sort dso,symbol -t ${';'}`
          return sharesOf(await command(words))
        }),
      )
      return (await Promise.all([shares, load]))[0]
    }
    const [sending, receiving] = await sampled(bulk(ours, { streams: 1, seconds: seconds + LEAD }))
    const [there] = await sampled(roundTrips(ours, seconds + LEAD + 1))
    return {
      situations: ['bulk TCP, sending host', 'bulk TCP, receiving host', 'round trips'],
      parts: PARTS.map(([what], index) => ({
        what,
        shares: [sending!, receiving!, there!].map((shares) => shares[index]!),
      })),
    }
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}
