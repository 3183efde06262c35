import type { Stage } from './stage.ts'

/** What must hold for a figure. Ratios are of ours to the reference. */
export interface Target {
  readonly of: 'ours' | 'ratio'
  readonly atMost?: number
  readonly atLeast?: number
}

/** One line of the table: a median for each subject that was measured. */
export interface Figure {
  readonly what: string
  readonly unit: string
  readonly ours: number
  /** The kernel's vxlan device; null where there is nothing to compare. */
  readonly reference: number | null
  readonly target: Target | null
  /** How many measurements, and between which values ours were. */
  readonly note: string
}

/** One kind of measurement, a file of bench/benches/. */
export interface Bench {
  readonly name: string
  /** A heading and a sentence about what is measured, and how. */
  readonly title: string
  readonly about: string
  run(stage: Stage): Promise<Figure[]>
}

export const ratioOf = ({ ours, reference }: Figure): number | null =>
  reference === null ? null : ours / reference

/** null when the figure has no target. */
export function isMet(figure: Figure): boolean | null {
  const { target, ours } = figure
  if (target === null) return null
  const value = target.of === 'ours' ? ours : ratioOf(figure)
  if (value === null) return null
  return value <= (target.atMost ?? Infinity) && value >= (target.atLeast ?? -Infinity)
}
