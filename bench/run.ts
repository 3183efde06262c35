/**
 * Measures overlay-ts beside the kernel's vxlan device and writes docs/performance.md.
 *
 *   npm run bench                          everything
 *   npm run bench -- tcp rtt               only these, and docs/performance.md is left as it is
 *   npm run bench -- --rounds 3 --seconds 2
 */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { format, resolveConfig } from 'prettier'
import { messageOf } from '../src/errors.ts'
import { isMet, type Bench } from './bench.ts'
import { attach } from './benches/attach.ts'
import { bulkTcp } from './benches/bulk-tcp.ts'
import { memory } from './benches/memory.ts'
import { networkCreate } from './benches/network-create.ts'
import { roundTrip } from './benches/round-trip.ts'
import { documentOf, type Results } from './document.ts'
import { describeMachine, loadAverage } from './machine.ts'
import { withStage } from './stage.ts'

/** In this order: the quiet before the loud, memory after all. */
const BENCHES: readonly Bench[] = [attach, networkCreate, roundTrip, bulkTcp, memory]

const DOCUMENT = join(import.meta.dirname, '..', 'docs', 'performance.md')
/** Above this the machine has other work, and figures are of both. */
const QUIET = 1

const { values, positionals } = parseArgs({
  options: {
    rounds: { type: 'string', default: '5' },
    seconds: { type: 'string', default: '5' },
  },
  allowPositionals: true,
})
const unknown = positionals.filter((word) => !BENCHES.some(({ name }) => name === word))
const [rounds, seconds] = [Number(values.rounds), Number(values.seconds)]
if (unknown.length > 0 || !(rounds >= 1) || !(seconds >= 2)) {
  console.error(
    `usage: npm run bench -- [--rounds 1…] [--seconds 2…] [${BENCHES.map(({ name }) => name).join(' | ')}]…`,
  )
  process.exit(2)
}
const chosen = BENCHES.filter(({ name }) => positionals.length === 0 || positionals.includes(name))

const say = (line: string): void => console.error(`bench: ${line}`)
const load = loadAverage()
if (load > QUIET) say(`the machine is busy (load ${load}); the figures are worth little`)

try {
  const sections = await withStage({ rounds, seconds, say }, async (stage) => {
    const done: { bench: Bench; figures: Awaited<ReturnType<Bench['run']>> }[] = []
    for (const bench of chosen) {
      say(bench.title)
      done.push({ bench, figures: await bench.run(stage) })
    }
    return done
  })
  const results: Results = {
    date: new Date().toISOString().slice(0, 10),
    command: ['npm run bench', ...wordsAfter(process.argv.slice(2))].join(' '),
    machine: await describeMachine(),
    load,
    sections,
  }
  const style = await resolveConfig(DOCUMENT)
  const text = await format(documentOf(results), { ...style, parser: 'markdown' })
  console.log(text)
  if (chosen.length === BENCHES.length) writeFileSync(DOCUMENT, text)
  const missed = sections.flatMap(({ figures }) => figures.filter((f) => isMet(f) === false))
  for (const { what } of missed) say(`missed its target: ${what}`)
} catch (error) {
  console.error(messageOf(error))
  process.exitCode = 1
}

function wordsAfter(words: readonly string[]): string[] {
  return words.length === 0 ? [] : ['--', ...words]
}
