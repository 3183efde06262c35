import type { BarGroup, Chart } from './bar-chart.ts'
import type { Figure } from './figure.ts'
import { MODE_TITLES, MODES, type Results } from './results.ts'

export interface ChartText {
  /** Its name in docs/performance/. */
  readonly file: string
  readonly title: string
  readonly figures: readonly string[]
}

/** The plots of the document. */
export const CHARTS: readonly ChartText[] = [
  { file: 'tcp.svg', title: 'Bulk TCP', figures: ['tcp-1', 'tcp-4', 'tcp-16'] },
  { file: 'round-trip.svg', title: 'Round trips', figures: ['rtt-p50', 'awake-p50', 'loaded-p99'] },
  { file: 'datagrams.svg', title: 'Datagrams without loss', figures: ['udp-64', 'udp-1400'] },
  { file: 'processor.svg', title: 'Processor time', figures: ['cpu'] },
]

/** How many times ours a bar may be long, where less is better. */
const CUT_AT = 3

/** Every subject that was measured, in both modes, a panel for each figure. */
export function chartOf(
  { title, figures }: ChartText,
  known: readonly Figure[],
  results: Results,
): Chart {
  return {
    title,
    series: MODES.map((mode) => MODE_TITLES[mode]),
    panels: figures.flatMap((id) => {
      const figure = known.find((one) => one.id === id)
      if (figure === undefined) return []
      const groups = results.record.subjects
        .map(({ name, kind }) => ({
          name,
          emphasis: kind === 'ours',
          bars: MODES.map((mode) => results.summary(id, name, mode)),
        }))
        .filter(({ bars }) => bars.some((bar) => bar !== null))
      const { what, unit, better } = figure
      const title = `${what} (${unit}), ${better} is better`
      return [{ title, groups, ...(better === 'less' && { limit: limitOf(groups) }) }]
    }),
  }
}

/** A few times what ours is: the slowest would make all others look alike. */
function limitOf(groups: readonly BarGroup[]): number {
  const ours = groups
    .filter(({ emphasis }) => emphasis)
    .flatMap(({ bars }) => bars.flatMap((bar) => bar?.median ?? []))
  return ours.length === 0 ? Infinity : CUT_AT * Math.max(...ours)
}
