import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import type { BenchText } from '../../../bench/bench.ts'
import { chartOf } from '../../../bench/charts.ts'
import { documentOf } from '../../../bench/document.ts'
import { digits, type Values } from '../../../bench/figure.ts'
import { missedGoals, RATIO_GOALS, ratioTo } from '../../../bench/goals.ts'
import type { ModeName } from '../../../bench/modes.ts'
import { Results, type RunRecord } from '../../../bench/results.ts'
import type { SubjectKind } from '../../../bench/subjects/subject.ts'

const SUBJECTS: readonly (readonly [string, SubjectKind])[] = [
  ['overlay-ts', 'ours'],
  ['kernel vxlan', 'kernel'],
  ['C reference', 'reference'],
  ['slow', 'peer'],
  ['fast', 'peer'],
]

const TCP: BenchText = {
  name: 'tcp',
  title: 'Bulk TCP',
  about: 'About it.',
  figures: [
    { id: 'tcp-1', what: '1 stream', unit: 'Gbit/s', better: 'more' },
    { id: 'again', what: 'sent again', unit: '', better: 'less', compares: false },
  ],
}
const ATTACH: BenchText = {
  name: 'attach',
  title: 'Attaching',
  about: 'How.',
  figures: [{ id: 'attach-p50', what: 'p50', unit: 'ms', better: 'less' }],
}
const BENCHES = [TCP, ATTACH]

function resultsOf(change: Partial<RunRecord> = {}): Results {
  return new Results({
    date: '2026-01-02',
    command: 'npm run bench',
    machine: ['2 cores'],
    load: 0.1,
    rounds: 5,
    seconds: 2,
    minutes: 33,
    subjects: SUBJECTS.map(([name, kind]) => ({ name, kind, about: 'as usual', version: '1' })),
    absent: [],
    measured: [],
    failures: [],
    micro: [],
    profile: null,
    ...change,
  })
}

function measured(
  results: Results,
  subject: string,
  all: readonly Values[],
  mode: ModeName | null = 'passed',
  bench = 'tcp',
): void {
  all.forEach((values, index) => results.add({ bench, mode, subject, round: index + 1, values }))
}

function filled(): Results {
  const results = resultsOf()
  measured(results, 'overlay-ts', [{ 'tcp-1': 7 }, { 'tcp-1': 8 }, { 'tcp-1': 6 }])
  measured(results, 'kernel vxlan', [{ 'tcp-1': 10 }, { 'tcp-1': 20 }, { 'tcp-1': 9 }])
  measured(results, 'slow', [{ 'tcp-1': 1 }])
  measured(results, 'fast', [{ 'tcp-1': 2 }])
  return results
}

const text = (results: Results, kept = ''): string =>
  documentOf(results, { benches: BENCHES, kept })

/** The cells of the row that begins so, or undefined. */
function row(document: string, first: string): string[] | undefined {
  const line = document.split('\n').find((line) => line.startsWith(`| ${first} |`))
  return line
    ?.split('|')
    .slice(2, -1)
    .map((cell) => cell.trim())
}

test('a ratio is one of medians, and tells whether it is what it should be', () => {
  const cells = row(text(filled()), 'TCP, 1 stream')
  assert.deepEqual(cells, [
    '0.70 × (≥ 0.70: met)',
    'not measured (≥ 0.85)',
    '3.50 × fast (≥ 3.00: met)',
    'not measured (≥ 0.95)',
  ])
})

test('the best peer is the one with most, or with least where less is better', () => {
  const results = filled()
  measured(results, 'slow', [{ 'rtt-p50': 50 }])
  measured(results, 'fast', [{ 'rtt-p50': 90 }])
  measured(results, 'overlay-ts', [{ 'rtt-p50': 100 }])
  const goal = RATIO_GOALS.find(({ figure }) => figure === 'rtt-p50')!
  assert.deepEqual(ratioTo('peer', goal, 'passed', goal.bestPeer, results), {
    value: 2,
    against: 'slow',
    met: false,
  })
  assert.match(
    row(text(results), goal.what)![2]!,
    /^\*\*2\.00 × slow\*\* \(≤ 1\.00: \*\*missed\*\*\)$/,
  )
  assert.deepEqual(missedGoals(results), [
    'Round trip p50, idle, passed through: 2.00 × slow (≤ 1.00)',
  ])
})

test('a table has a line for each subject: the median, its range, the ratio to the kernel', () => {
  const document = text(filled())
  assert.deepEqual(row(document, 'overlay-ts'), ['1', 'as usual'])
  const table = document.slice(document.indexOf('### Bulk TCP, passed through'))
  assert.deepEqual(row(table, 'overlay-ts'), ['7.00 (6.00–8.00) · 0.70 ×', '–'])
  assert.deepEqual(row(table, 'kernel vxlan'), ['10.0 (9.00–20.0)', '–'])
  assert.deepEqual(row(table, 'slow'), ['1.00 · 0.10 ×', '–'])
})

test('modes are kept apart, and one that was not measured has no table', () => {
  const results = filled()
  assert.doesNotMatch(text(results), /### .*software segmentation/)
  measured(results, 'overlay-ts', [{ 'tcp-1': 4 }], 'segmented')
  measured(results, 'kernel vxlan', [{ 'tcp-1': 4 }], 'segmented')
  assert.match(text(results), /### Bulk TCP, software segmentation/)
  assert.equal(row(text(results), 'TCP, 1 stream')![1], '1.00 × (≥ 0.85: met)')
})

test('what is measured of this product alone has a line for each figure', () => {
  const results = filled()
  measured(results, 'overlay-ts', [{ 'attach-p50': 14.81 }], null, 'attach')
  assert.deepEqual(row(text(results), 'p50'), ['14.8 ms'])
  assert.deepEqual(row(text(results), 'CreateEndpoint + Join, p50'), ['14.8 ms (≤ 20.0: met)'])
  measured(results, 'overlay-ts', [{ 'attach-p50': 90 }, { 'attach-p50': 90 }], null, 'attach')
  assert.match(row(text(results), 'CreateEndpoint + Join, p50')![0]!, /missed/)
})

test('who failed, and who could not be there, is told with the reason', () => {
  const results = filled()
  results.record.absent.push({ name: 'tinc', kind: 'peer', why: 'no\n  such package' })
  results.fail({ bench: 'tcp', mode: 'passed', subject: 'C reference', why: 'exit 1' })
  const document = text(results)
  assert.match(document, /tinc could not run here: `no such package`/)
  assert.match(document, /C reference was not measured to the end: `exit 1`/)
  assert.deepEqual(row(document.slice(document.indexOf('### Bulk TCP, passed')), 'C reference'), [
    '–',
    '–',
  ])
})

test('operations are told with their time, bytes a second and what they take of the heap', () => {
  const document = text(
    resultsOf({
      micro: [
        { what: 'cut', nanoseconds: 5000, bytes: 60_000, allocated: 0 },
        { what: 'lay out', nanoseconds: 2e8, bytes: null, allocated: null },
      ],
    }),
  )
  assert.deepEqual(row(document, 'cut'), ['5.00 µs', '12.0', '0'])
  assert.deepEqual(row(document, 'lay out'), ['200 ms', '', ''])
  const failed = resultsOf()
  failed.fail({ bench: 'micro', mode: null, subject: 'overlay-ts', why: 'a missing file' })
  assert.match(text(failed), /Operations[^]*Could not be measured: `a missing file`/)
})

test('a profile has a line for each part, and a reason where it could not be taken', () => {
  const profile = {
    situations: ['sending', 'waiting'],
    parts: [{ what: 'copying', shares: [0.5, 0] }],
  }
  assert.deepEqual(row(text(resultsOf({ profile })), 'copying'), ['50 %', '0 %'])
  const results = resultsOf()
  assert.doesNotMatch(text(results), /Where the time goes/)
  results.fail({ bench: 'profile', mode: null, subject: 'overlay-ts', why: 'no perf' })
  assert.match(text(results), /Could not be measured: `no perf`/)
})

test('what was written by hand stays', () => {
  assert.match(
    text(filled(), 'Wake-ups cost most.'),
    /by hand.*-->\n\nWake-ups cost most\.\n\n<!--/,
  )
})

test('a chart shows whom was measured, in both modes, a panel for each figure', () => {
  const results = filled()
  const chart = chartOf(
    { file: 'tcp.svg', title: 'Bulk TCP', figures: ['tcp-1', 'unknown'] },
    TCP.figures,
    results,
  )
  assert.deepEqual(chart.series, ['passed through', 'software segmentation'])
  assert.equal(chart.panels.length, 1)
  assert.deepEqual(
    chart.panels[0]!.groups.map(({ name, bars }) => [name, ...bars.map((bar) => bar?.median)]),
    [
      ['overlay-ts', 7, undefined],
      ['kernel vxlan', 10, undefined],
      ['slow', 1, undefined],
      ['fast', 2, undefined],
    ],
  )
})

test('results are saved as they come, a lost datagram too, and read again', () => {
  const folder = mkdtempSync(join(tmpdir(), 'overlay-ts-test-'))
  try {
    const file = join(folder, 'results.json')
    const results = new Results(resultsOf().record, file)
    measured(results, 'overlay-ts', [{ 'overload-p99': Infinity }])
    const read = Results.read(file)
    assert.equal(read.summary('overload-p99', 'overlay-ts', 'passed')?.median, Infinity)
    assert.deepEqual(read.record, results.record)
  } finally {
    rmSync(folder, { recursive: true })
  }
})

test('figures are told with the digits that matter', () => {
  const told = [0, 0.0123, 0.5, 9.876, 12.34, 123.4, 12_345, Infinity].map(digits)
  assert.deepEqual(told, ['0', '0.012', '0.50', '9.88', '12.3', '123', '12345', '∞'])
})

test('what overload does is judged only where the sender offered enough', () => {
  const results = resultsOf()
  const overload = (offered: number, share: number): Values => ({
    'overload-offered': offered,
    'overload-share': share,
  })
  measured(results, 'overlay-ts', [overload(1.05, 1.05)], 'passed', 'udp')
  measured(results, 'overlay-ts', [overload(1.95, 0.5)], 'segmented', 'udp')
  const of = 'Delivered at twice the no-loss rate, as a share of that rate'
  assert.match(
    text(results),
    /passed through +\| 1\.05 \(≥ 0\.90: not judged, only 1\.05 times the rate was offered\)/,
  )
  assert.deepEqual(missedGoals(results), [`${of}, software segmentation: 0.50 (≥ 0.90)`])
})
