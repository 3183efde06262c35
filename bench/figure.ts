/** Which way a figure is good. */
export type Better = 'more' | 'less'

/** A quantity that is measured: a column or a line of the document. */
export interface Figure {
  /** Unique among all: "tcp-4". */
  readonly id: string
  /** "TCP, 4 streams" */
  readonly what: string
  readonly unit: string
  readonly better: Better
  /** Says something beside another subject's. True unless told. */
  readonly compares?: boolean
}

/** Values of one measurement, by the figure's id. */
export type Values = Readonly<Record<string, number>>

/** Three digits that matter. */
export function digits(value: number): string {
  if (!Number.isFinite(value)) return '∞'
  if (value === 0) return '0'
  const size = Math.abs(value)
  if (size >= 100) return value.toFixed(0)
  if (size >= 10) return value.toFixed(1)
  return size >= 0.1 ? value.toFixed(2) : value.toFixed(3)
}

/** "14.8 ms" */
export const withUnit = (value: number, unit: string): string => `${digits(value)} ${unit}`.trim()
