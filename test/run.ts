/**
 * The whole test suite, in stages: what needs no machine first, then the kernel, then real Docker hosts.
 *
 *   node test/run.ts                everything; needs root
 *   node test/run.ts unit golden    only these folders of test/
 *
 * Exit code 0 when every selected test ran and passed. A skipped test counts as a failure, so does a
 * stage whose folders hold no test.
 */
import { existsSync, globSync } from 'node:fs'
import { resolve } from 'node:path'
import { run } from 'node:test'
import { spec } from 'node:test/reporters'
import { deleteOrphanedNamespaces } from './support/netns.ts'
import { patternOf, STAGES, type Stage } from './support/stages.ts'

const TEST = import.meta.dirname

interface Outcome {
  readonly stage: string
  readonly seconds: number
  /** Why the stage failed, or null. */
  readonly failure: string | null
  readonly passed: number
}

const selected = select(process.argv.slice(2))
requireRoot(selected)

const interrupted = new AbortController()
for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.once(signal, () => interrupted.abort(new Error(signal)))
}

const outcomes: Outcome[] = []
for (const stage of selected) {
  if (!interrupted.signal.aborted) outcomes.push(await runStage(stage))
}

console.log('')
for (const { stage, seconds, failure, passed } of outcomes) {
  const time = `${seconds.toFixed(1)} s`.padStart(9)
  console.log(`${stage.padEnd(8)}${time}   ${failure ?? `${passed} passed`}`)
}
const complete = outcomes.length === selected.length && !interrupted.signal.aborted
if (!complete) console.log('interrupted')
process.exit(complete && outcomes.every(({ failure }) => failure === null) ? 0 : 1)

/** The stages that hold a named folder, narrowed to the folders named; all without a name. */
function select(words: readonly string[]): Stage[] {
  const known = STAGES.flatMap(({ folders }) => folders)
  const unknown = words.filter((word) => !known.includes(word))
  if (unknown.length > 0) {
    console.error(`no tests are named ${unknown.join(', ')}; there are ${known.join(', ')}`)
    process.exit(2)
  }
  if (words.length === 0) return STAGES.filter(({ folders }) => folders.some(isThere))
  return STAGES.map((stage) => ({
    ...stage,
    folders: stage.folders.filter((folder) => words.includes(folder)),
  })).filter(({ folders }) => folders.length > 0)
}

function isThere(folder: string): boolean {
  return folder === 'architecture' || existsSync(resolve(TEST, folder))
}

function requireRoot(stages: readonly Stage[]): void {
  const needy = stages.filter(({ needsRoot }) => needsRoot).map(({ name }) => name)
  if (needy.length === 0 || process.getuid?.() === 0) return
  const rest = STAGES.filter(({ needsRoot }) => !needsRoot).flatMap(({ folders }) => folders)
  console.error(
    `the stages ${needy.join(' and ')} need root, for network namespaces and Docker daemons: run "sudo npm test", ` +
      `or without them "npm test -- ${rest.join(' ')}"`,
  )
  process.exit(1)
}

async function runStage({ name, folders, concurrency, minutes }: Stage): Promise<Outcome> {
  const started = performance.now()
  const outcome = (failure: string | null, passed = 0): Outcome => ({
    stage: name,
    seconds: (performance.now() - started) / 1000,
    failure,
    passed,
  })
  const files = folders
    .flatMap((folder) => globSync(patternOf(folder), { cwd: TEST }))
    .sort()
    .map((file) => resolve(TEST, file))
  console.log(`\n── ${name}: ${files.length} files of ${folders.join(', ')}`)
  if (files.length === 0) return outcome(`no test files in ${folders.join(', ')}`)

  let counts = { passed: 0, skipped: 0, todo: 0 }
  let success = false
  const events = run({
    files,
    concurrency,
    timeout: minutes * 60_000,
    signal: interrupted.signal,
  })
  events.on('test:summary', (summary) => {
    // One summary a file, then one without a file for all.
    if (summary.file !== undefined) return
    success = summary.success
    counts = summary.counts
  })
  for await (const text of events.compose(new spec())) process.stdout.write(String(text))
  // A file that its time limit ends takes nothing down.
  if (name === 'netns') deleteOrphanedNamespaces()
  const unrun = counts.skipped + counts.todo
  if (!success) return outcome('failed', counts.passed)
  if (unrun > 0) return outcome(`failed: ${unrun} skipped`, counts.passed)
  if (counts.passed === 0) return outcome('failed: no test ran')
  return outcome(null, counts.passed)
}
