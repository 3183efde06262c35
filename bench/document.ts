import type { BenchText } from './bench.ts'
import { CHARTS } from './charts.ts'
import { digits, withUnit, type Figure } from './figure.ts'
import {
  comparisonsOf,
  OWN_GOALS,
  ownVerdict,
  RATIO_GOALS,
  ratioTo,
  wordsOf,
  type Bound,
  type Verdict,
} from './goals.ts'
import { keptLines } from './kept-text.ts'
import type { ModeName } from './modes.ts'
import { MODE_TITLES, MODES, type Failure, type Results } from './results.ts'
import { tableOf } from './table.ts'

/** What the document says besides the figures. */
export interface DocumentText {
  readonly benches: readonly BenchText[]
  /** Written by hand: what explains the figures. */
  readonly kept: string
}

/** The figures as Markdown, for docs/performance.md. */
export function documentOf(results: Results, { benches, kept }: DocumentText): string {
  const { date, command, minutes, rounds, seconds, machine, load } = results.record
  return [
    '# Performance',
    '',
    `Written by \`${command}\` on ${date}, in ${minutes.toFixed(0)} minutes; run it to get your own figures.`,
    '',
    `Machine: ${machine.join(', ')}. Programs wanting to run before it began (load average): ${load.toFixed(2)}.`,
    '',
    'Hosts are network namespaces of this one machine, joined by a switch, each with its own dockerd; sender, receiver and what carries between them share its cores. ' +
      'Subjects are measured in turn, in another order in every round, so that whatever else the machine does falls on all of them alike. ' +
      `There are up to ${rounds} rounds of ${seconds} s a measurement; overlay-ts, the kernel's device and the C program take part in all, the others in every third one. ` +
      'A figure is the median of its rounds, a ratio is one of medians.',
    '',
    "Two modes. _Passed through_: the underlay carries the kernel's super-frames of 64 KB uncut, from memory to memory, the best case of the kernel's device. " +
      '_Software segmentation_: the underlay takes nothing but frames, as a network card that knows no tunnels.',
    '',
    ...goals(results),
    ...CHARTS.flatMap(({ file, title }) => ['', `![${title}](performance/${file})`]),
    '',
    '## What the figures say',
    '',
    ...keptLines(kept),
    ...compared(results),
    ...benches.flatMap((bench) => section(bench, results)),
    ...profile(results),
    ...micro(results),
    '',
  ].join('\n')
}

function compared({ record }: Results): string[] {
  return [
    '',
    '## What is compared',
    '',
    ...tableOf(
      ['', 'version', 'set up'],
      record.subjects.map(({ name, version, about }) => [name, version, about]),
    ),
    ...record.absent.flatMap(({ name, why }) => [
      '',
      `${name} could not run here: ${oneLine(why)}`,
    ]),
    '',
    "Tables give the median of each figure, the least and the most of its rounds, and after a dot the ratio to the kernel's device.",
  ]
}

function goals(results: Results): string[] {
  const rows = RATIO_GOALS.map((goal) => [
    goal.what,
    ...comparisonsOf(goal).map(({ kind, mode, bound }) => {
      const verdict = ratioTo(kind, goal, mode, bound, results)
      const of = kind === 'peer' && verdict !== null ? ` ${verdict.against}` : ''
      return said(verdict, bound, `×${of}`)
    }),
  ])
  const own = OWN_GOALS.map((goal) => [
    goal.mode === null ? goal.what : `${goal.what}, ${MODE_TITLES[goal.mode]}`,
    said(ownVerdict(goal, results), goal, goal.unit),
  ])
  return [
    '## Goals',
    '',
    'Ratios of overlay-ts to the kernel, to whichever userspace peer does best, and to a C program with the same system calls and batching, which is what the design can reach.',
    '',
    ...tableOf(
      ['', 'kernel, passed through', 'kernel, segmented', 'best peer', 'C reference'],
      rows,
    ),
    '',
    ...tableOf(['', 'measured'], own),
  ]
}

/** "0.82 × (≥ 0.70: met)" */
function said(verdict: Verdict | null, bound: Bound, unit: string): string {
  if (verdict === null) return `not measured${wordsOf(bound) === '' ? '' : ` (${wordsOf(bound)})`}`
  const value = withUnit(verdict.value, unit)
  if (verdict.unjudged) return `${value} (${wordsOf(bound)}: not judged, ${verdict.unjudged})`
  if (verdict.met === null) return value
  return verdict.met
    ? `${value} (${wordsOf(bound)}: met)`
    : `**${value}** (${wordsOf(bound)}: **missed**)`
}

function section(bench: BenchText, results: Results): string[] {
  const modes = MODES.filter((mode) => isMeasured(bench, mode, results))
  const once = isMeasured(bench, null, results)
    ? ['', ...subjectTable(bench, null, results), ...failures(bench, null, results)]
    : []
  if (modes.length === 0 && once.length === 0) return []
  return [
    '',
    `## ${bench.title}`,
    '',
    bench.about,
    ...once,
    ...modes.flatMap((mode) => [
      '',
      `### ${bench.title}, ${MODE_TITLES[mode]}`,
      '',
      ...subjectTable(bench, mode, results),
      ...failures(bench, mode, results),
    ]),
  ]
}

const isMeasured = (bench: BenchText, mode: ModeName | null, { record }: Results): boolean =>
  [...record.measured, ...record.failures].some(
    (one) => one.bench === bench.name && one.mode === mode,
  )

/** A line for each subject; of one subject alone, a line for each figure. */
function subjectTable(bench: BenchText, mode: ModeName | null, results: Results): string[] {
  const { record } = results
  const names = record.subjects
    .map(({ name }) => name)
    .filter((name) =>
      [...record.measured, ...record.failures].some(
        (one) => one.bench === bench.name && one.mode === mode && one.subject === name,
      ),
    )
  const [only] = names
  if (names.length === 1 && only !== undefined) {
    return tableOf(
      ['', only],
      bench.figures.map((figure) => [figure.what, value(figure, only, mode, results, true)]),
    )
  }
  return tableOf(
    ['', ...bench.figures.map(({ what, unit }) => (unit === '' ? what : `${what}, ${unit}`))],
    names.map((name) => [
      name,
      ...bench.figures.map((figure) => value(figure, name, mode, results, false)),
    ]),
  )
}

/** "5.18 (4.50–5.40) · 0.54 ×": the median, the least and the most, the ratio to the kernel. */
function value(
  figure: Figure,
  subject: string,
  mode: ModeName | null,
  results: Results,
  withUnit: boolean,
): string {
  const summary = results.summary(figure.id, subject, mode)
  if (summary === null) return '–'
  const { median, least, most, count } = summary
  const unit = withUnit && figure.unit !== '' ? ` ${figure.unit}` : ''
  const range = count > 1 ? ` (${digits(least)}–${digits(most)})` : ''
  const [kernel] = results.of('kernel')
  const reference = kernel === undefined ? null : results.summary(figure.id, kernel, mode)
  const ratio =
    kernel === subject || figure.compares === false || reference === null || reference.median === 0
      ? ''
      : ` · ${digits(median / reference.median)} ×`
  return `${digits(median)}${unit}${range}${ratio}`
}

function failures(bench: BenchText, mode: ModeName | null, results: Results): string[] {
  return results
    .failuresOf(bench.name, mode)
    .flatMap(({ subject, why }) => ['', `${subject} was not measured to the end: ${oneLine(why)}`])
}

const oneLine = (text: string): string => {
  const line = text.replaceAll(/\s+/g, ' ').trim()
  return `\`${(line.length > 300 ? `${line.slice(0, 300)}…` : line).replaceAll('`', "'")}\``
}

function profile({ record }: Results): string[] {
  const failed = record.failures.filter(({ bench }) => bench === 'profile')
  if (record.profile === null && failed.length === 0) return []
  const { situations, parts } = record.profile ?? { situations: [], parts: [] }
  return [
    '',
    '## Where the time goes',
    '',
    "The time that overlay-ts' processes work, all threads, sampled by perf, passed through. What the kernel does in their context is theirs: receiving from one side and handing on to the other, the container's TCP included.",
    ...(record.profile === null
      ? []
      : [
          '',
          ...tableOf(
            ['', ...situations],
            parts.map(({ what, shares }) => [
              what,
              ...shares.map((share) => `${(100 * share).toFixed(0)} %`),
            ]),
          ),
        ]),
    ...failed.flatMap(reasonOf),
  ]
}

function micro({ record }: Results): string[] {
  const failed = record.failures.filter(({ bench }) => bench === 'micro')
  if (record.micro.length === 0 && failed.length === 0) return []
  return [
    '',
    '## Operations of the datapath',
    '',
    'Each by itself in a process of its own, over packets that lie in the cache. Allocated is what an operation adds to the heap of JavaScript, over thousands of them.',
    '',
    ...tableOf(
      ['', 'time', 'GB/s', 'allocated, bytes'],
      record.micro.map(({ what, nanoseconds, bytes, allocated }) => [
        what,
        duration(nanoseconds),
        bytes === null ? '' : digits(bytes / nanoseconds),
        allocated === null ? '' : digits(allocated),
      ]),
    ),
    ...failed.flatMap(reasonOf),
  ]
}

const reasonOf = ({ why }: Failure): string[] => ['', `Could not be measured: ${oneLine(why)}`]

function duration(nanoseconds: number): string {
  if (nanoseconds < 1000) return `${digits(nanoseconds)} ns`
  return nanoseconds < 1e6 ? `${digits(nanoseconds / 1000)} µs` : `${digits(nanoseconds / 1e6)} ms`
}
