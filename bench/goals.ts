import { digits, withUnit } from './figure.ts'
import type { ModeName } from './modes.ts'
import { MODE_TITLES, type Results } from './results.ts'
import type { SubjectKind } from './subjects/subject.ts'

/** Bounds of a value, or of a ratio. */
export interface Bound {
  readonly atLeast?: number
  readonly atMost?: number
}

/** What is wanted of one figure in comparison, a row of the table. */
export interface RatioGoal {
  readonly figure: string
  /** As the row is called. */
  readonly what: string
  readonly better: 'more' | 'less'
  readonly kernelPassed: Bound
  readonly kernelSegmented: Bound
  readonly bestPeer: Bound
  /** Of the C program; nothing is wanted where it is empty. */
  readonly reference: Bound
}

/** What is wanted of one figure by itself. */
export interface OwnGoal extends Bound {
  readonly figure: string
  readonly what: string
  readonly unit: string
  /** null for what is measured once. */
  readonly mode: ModeName | null
  /** Without it the goal is not met, whatever the figure. */
  readonly given?: Given
}

/** Another figure of the same measurement, and what it must be at least. */
export interface Given {
  readonly figure: string
  readonly atLeast: number
  /** Follows the figure: "1.05 times the rate was offered". */
  readonly what: string
}

/** The sender shares the cores with what it floods; short of about twice the rate it is no flood. */
const TWICE_OFFERED: Given = {
  figure: 'overload-offered',
  atLeast: 1.8,
  what: 'times the rate was offered',
}

export const RATIO_GOALS: readonly RatioGoal[] = [
  {
    figure: 'tcp-1',
    what: 'TCP, 1 stream',
    better: 'more',
    kernelPassed: { atLeast: 0.7 },
    kernelSegmented: { atLeast: 0.85 },
    bestPeer: { atLeast: 3 },
    reference: { atLeast: 0.95 },
  },
  ...[4, 16].map((streams) => ({
    figure: `tcp-${streams}`,
    what: `TCP, ${streams} streams`,
    better: 'more' as const,
    kernelPassed: { atLeast: 0.45 },
    kernelSegmented: { atLeast: 0.8 },
    bestPeer: { atLeast: 3 },
    reference: { atLeast: 0.95 },
  })),
  {
    figure: 'rtt-p50',
    what: 'Round trip p50, idle',
    better: 'less',
    kernelPassed: { atMost: 1.25 },
    kernelSegmented: { atMost: 1.25 },
    bestPeer: { atMost: 1 },
    reference: {},
  },
  {
    figure: 'loaded-p99',
    what: 'Round trip p99, under load',
    better: 'less',
    kernelPassed: { atMost: 2 },
    kernelSegmented: { atMost: 1.5 },
    bestPeer: { atMost: 1 },
    reference: {},
  },
  {
    figure: 'udp-64',
    what: 'Datagrams of 64 bytes a second, at most 0.1 % lost',
    better: 'more',
    kernelPassed: { atLeast: 0.5 },
    kernelSegmented: { atLeast: 0.5 },
    bestPeer: { atLeast: 1.5 },
    reference: { atLeast: 0.95 },
  },
  {
    figure: 'cpu',
    what: 'Processor time for each Gbit',
    better: 'less',
    kernelPassed: { atMost: 2 },
    kernelSegmented: { atMost: 1.3 },
    bestPeer: { atMost: 0.5 },
    reference: {},
  },
]

export const OWN_GOALS: readonly OwnGoal[] = [
  ...(['passed', 'segmented'] as const).flatMap((mode): OwnGoal[] => [
    {
      figure: 'overload-share',
      what: 'Delivered at twice the no-loss rate, as a share of that rate',
      unit: '',
      mode,
      atLeast: 0.9,
      given: TWICE_OFFERED,
    },
    {
      figure: 'overload-p99',
      what: 'p99 of a quiet second flow meanwhile',
      unit: 'ms',
      mode,
      atMost: 5,
      given: TWICE_OFFERED,
    },
  ]),
  {
    figure: 'attach-p50',
    what: 'CreateEndpoint + Join, p50',
    unit: 'ms',
    mode: null,
    atMost: 20,
  },
  { figure: 'address-p50', what: 'RequestAddress, p50', unit: 'ms', mode: null, atMost: 5 },
  { figure: 'resident', what: 'Memory of the daemon', unit: 'MB', mode: null, atMost: 150 },
]

/** A figure against its bound. */
export interface Verdict {
  readonly value: number
  /** Whom it was compared with; null for a value of its own. */
  readonly against: string | null
  /** null when nothing is wanted, or cannot be judged. */
  readonly met: boolean | null
  /** Why it cannot be judged. */
  readonly unjudged?: string
}

export function isWithin(
  value: number,
  { atLeast = -Infinity, atMost = Infinity }: Bound,
): boolean {
  return value >= atLeast && value <= atMost
}

const isEmpty = ({ atLeast, atMost }: Bound): boolean =>
  atLeast === undefined && atMost === undefined

/** Ours to the best of a kind; null while either is not measured. */
export function ratioTo(
  kind: SubjectKind,
  goal: Pick<RatioGoal, 'figure' | 'better'>,
  mode: ModeName,
  bound: Bound,
  results: Results,
): Verdict | null {
  const ours = medianOf(results.of('ours')[0])
  const others = results
    .of(kind)
    .map((name) => ({ name, median: medianOf(name) }))
    .filter((other): other is { name: string; median: number } => other.median !== null)
    .sort((a, b) => (goal.better === 'more' ? b.median - a.median : a.median - b.median))
  const best = others[0]
  if (ours === null || best === undefined) return null
  const value = ours / best.median
  return { value, against: best.name, met: isEmpty(bound) ? null : isWithin(value, bound) }

  function medianOf(name: string | undefined): number | null {
    return name === undefined ? null : (results.summary(goal.figure, name, mode)?.median ?? null)
  }
}

/** null while it is not measured. */
export function ownVerdict(goal: OwnGoal, results: Results): Verdict | null {
  const name = results.of('ours')[0]
  if (name === undefined) return null
  const summary = results.summary(goal.figure, name, goal.mode)
  if (summary === null) return null
  const value = summary.median
  const met = isWithin(value, goal)
  if (met && goal.given) {
    const { figure, atLeast, what } = goal.given
    const given = results.summary(figure, name, goal.mode)?.median ?? 0
    if (given < atLeast) {
      return { value, against: null, met: null, unjudged: `only ${digits(given)} ${what}` }
    }
  }
  return { value, against: null, met }
}

/** "≥ 0.85" */
export function wordsOf({ atLeast, atMost }: Bound): string {
  if (atLeast !== undefined) return `≥ ${digits(atLeast)}`
  return atMost === undefined ? '' : `≤ ${digits(atMost)}`
}

/** The comparisons of a goal: with whom, in which mode, and what is wanted. */
export function comparisonsOf(
  goal: RatioGoal,
): { readonly kind: SubjectKind; readonly mode: ModeName; readonly bound: Bound }[] {
  return [
    { kind: 'kernel', mode: 'passed', bound: goal.kernelPassed },
    { kind: 'kernel', mode: 'segmented', bound: goal.kernelSegmented },
    { kind: 'peer', mode: 'passed', bound: goal.bestPeer },
    { kind: 'reference', mode: 'passed', bound: goal.reference },
  ]
}

/** A line for each figure that is not what it should be. */
export function missedGoals(results: Results): string[] {
  const ratios = RATIO_GOALS.flatMap((goal) =>
    comparisonsOf(goal).flatMap(({ kind, mode, bound }) => {
      const verdict = ratioTo(kind, goal, mode, bound, results)
      return verdict?.met === false
        ? [
            `${goal.what}, ${MODE_TITLES[mode]}: ${digits(verdict.value)} × ${verdict.against} (${wordsOf(bound)})`,
          ]
        : []
    }),
  )
  const own = OWN_GOALS.flatMap((goal) => {
    const verdict = ownVerdict(goal, results)
    const mode = goal.mode === null ? '' : `, ${MODE_TITLES[goal.mode]}`
    return verdict?.met === false
      ? [`${goal.what}${mode}: ${withUnit(verdict.value, goal.unit)} (${wordsOf(goal)})`]
      : []
  })
  return [...ratios, ...own]
}
