import type { Chart } from './bar-chart.ts'
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
      return [{ title: `${what} (${unit}), ${better} is better`, groups }]
    }),
  }
}
