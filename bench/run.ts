/**
 * Measures overlay-ts beside the kernel's vxlan device and others, and writes docs/performance.md with
 * its plots: everything at once, or parts of it to look at. `npm run bench -- --help` says how.
 */
import { spawnSync } from 'node:child_process'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { messageOf, OverlayError } from '../src/errors.ts'
import { missedGoals } from './goals.ts'
import { describeMachine, loadAverage } from './machine.ts'
import { measure } from './measure.ts'
import { measureMicro } from './micro.ts'
import { isWhole, readOptions, USAGE, type RunOptions } from './options.ts'
import { BENCHES, MICRO, PROFILE } from './plan.ts'
import { Results } from './results.ts'
import { CANDIDATES } from './subjects/candidates.ts'
import { performanceText, RESULTS, writePerformance } from './write-performance.ts'

/** Above this the machine has other work, and figures are of both. */
const QUIET = 1
/** What a run has found so far. */
const SO_FAR = join(tmpdir(), 'overlay-ts-bench.json')

const say = (line: string): void => console.error(`bench: ${line}`)

try {
  await main(process.argv.slice(2))
} catch (error) {
  console.error(messageOf(error))
  process.exitCode = error instanceof OverlayError && error.code === 'bad_input' ? 2 : 1
}

async function main(words: readonly string[]): Promise<void> {
  const options = readOptions(words, {
    benches: [...BENCHES.map(({ name }) => name), MICRO, PROFILE],
    subjects: CANDIDATES.map(({ name }) => name),
  })
  if (options.kind === 'run') await run(options, words)
  else if (options.kind === 'smoke') smoke(options.subjects)
  else if (options.kind === 'document') await writePerformance(Results.read(RESULTS))
  else console.log(USAGE)
}

async function run(options: RunOptions, words: readonly string[]): Promise<void> {
  const load = loadAverage()
  if (load > QUIET) say(`the machine is busy (load ${load}); the figures are worth little`)
  say(`what is found is saved in ${SO_FAR} as it comes`)
  const results = new Results(
    {
      date: new Date().toISOString().slice(0, 10),
      command: ['npm run bench', ...(words.length === 0 ? [] : ['--', ...words])].join(' '),
      machine: await describeMachine(),
      load,
      rounds: options.rounds,
      seconds: options.seconds,
      minutes: 0,
      subjects: [],
      absent: [],
      measured: [],
      failures: [],
      micro: [],
      profile: null,
    },
    SO_FAR,
  )
  const started = performance.now()
  if (options.benches.length === 0 || options.benches.includes(MICRO)) {
    say('operations of the datapath')
    try {
      results.record.micro.push(...(await measureMicro()))
    } catch (error) {
      say(`they could not be measured: ${messageOf(error)}`)
      results.fail({ bench: MICRO, mode: null, subject: 'overlay-ts', why: messageOf(error) })
    }
  }
  try {
    await measure(options, results, say)
  } finally {
    results.record.minutes = (performance.now() - started) / 60_000
    results.save()
    console.log(await performanceText(results))
  }
  if (isWhole(options)) await writePerformance(results)
  else say('docs/performance.md is written only by a whole run')
  for (const line of missedGoals(results)) say(`missed: ${line}`)
}

/** A program of its own, since it looks for what a lab leaves behind. */
function smoke(subjects: readonly string[]): void {
  const program = join(import.meta.dirname, 'smoke.ts')
  const { status } = spawnSync(process.execPath, [program, ...subjects], { stdio: 'inherit' })
  process.exitCode = status ?? 1
}
