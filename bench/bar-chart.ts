import { digits } from './figure.ts'

/** One bar: how long, and between which values its measurements lay. */
export interface Bar {
  readonly median: number
  readonly least: number
  readonly most: number
}

/** A line of a panel: a name, and a bar of each series; null where there is nothing to show. */
export interface BarGroup {
  readonly name: string
  /** Drawn in the colour of what the chart is about. */
  readonly emphasis: boolean
  readonly bars: readonly (Bar | null)[]
}

/** One quantity; its bars share a scale. */
export interface Panel {
  /** "TCP, 1 stream (Gbit/s), more is better" */
  readonly title: string
  readonly groups: readonly BarGroup[]
  /** Where bars are cut off, so that the short ones can still be told apart; nowhere unless told. */
  readonly limit?: number
}

export interface Chart {
  readonly title: string
  /** What the bars of a group are, in their order. */
  readonly series: readonly string[]
  readonly panels: readonly Panel[]
}

const WIDTH = 760
const LEFT = 150
const RIGHT = 70
const BAR = 12
const GROUP_GAP = 8
const PANEL_HEAD = 34
const PANEL_GAP = 18
const HEAD = 62
const EDGE = 16

/** Of the series, dark to light; second of each pair for what the chart is not about. */
const EMPHASIS = ['#1f5fbf', '#86b2ee']
const PLAIN = ['#6b7280', '#c3c8d0']

/**
 * Horizontal bars, one panel below the other, as an SVG document. The background is white, so that it is
 * read alike on light and on dark pages. A thin line over a bar goes from the least value to the most.
 */
export function barChart({ title, series, panels }: Chart): string {
  const parts: string[] = []
  let y = HEAD
  for (const panel of panels) {
    parts.push(...panelAt(panel, y))
    y += heightOf(panel) + PANEL_GAP
  }
  const height = y - PANEL_GAP + EDGE
  return `${[
    `<svg xmlns="http://www.w3.org/2000/svg" width="${WIDTH}" height="${height}" viewBox="0 0 ${WIDTH} ${height}" role="img">`,
    `<title>${escape(title)}</title>`,
    `<rect width="${WIDTH}" height="${height}" fill="#ffffff"/>`,
    '<g font-family="system-ui, sans-serif" font-size="12" fill="#1f2328">',
    `<text x="${EDGE}" y="26" font-size="16" font-weight="600">${escape(title)}</text>`,
    ...legend(series),
    ...parts,
    '</g>',
    '</svg>',
  ].join('\n')}\n`
}

function legend(series: readonly string[]): string[] {
  let x = EDGE
  return series.flatMap((name, index) => {
    const at = x
    x += 2 * BAR + 22 + name.length * 7
    return [
      rect(at, 38, BAR, BAR, colourOf(EMPHASIS, index)),
      rect(at + BAR, 38, BAR, BAR, colourOf(PLAIN, index)),
      text(at + 2 * BAR + 6, 48, name),
    ]
  })
}

function panelAt({ title, groups, limit = Infinity }: Panel, top: number): string[] {
  const most = Math.min(
    limit,
    Math.max(
      ...groups.flatMap(({ bars }) => bars.map((bar) => (bar === null ? 0 : finite(bar.most)))),
    ),
  )
  const scale = most > 0 ? (WIDTH - LEFT - RIGHT) / most : 0
  const parts = [`<text x="${EDGE}" y="${top + 16}" font-weight="600">${escape(title)}</text>`]
  let y = top + PANEL_HEAD - 8
  for (const { name, emphasis, bars } of groups) {
    const height = bars.length * BAR
    parts.push(text(LEFT - 8, y + height / 2 + 4, name, 'end', emphasis))
    bars.forEach((bar, index) => {
      const colours = emphasis ? EMPHASIS : PLAIN
      parts.push(...barAt(bar, y + index * BAR, scale, most, colourOf(colours, index)))
    })
    y += height + GROUP_GAP
  }
  return parts
}

function barAt(bar: Bar | null, y: number, scale: number, limit: number, colour: string): string[] {
  if (bar === null) return [text(LEFT + 4, y + BAR - 2, '–', 'start')]
  const xOf = (value: number): number => LEFT + Math.min(finite(value), limit) * scale
  const [end, from, to] = [xOf(bar.median), xOf(bar.least), xOf(bar.most)]
  const middle = y + BAR / 2
  const beyond = bar.median > limit && Number.isFinite(bar.median) ? '… ' : ''
  const label = `${beyond}${digits(bar.median)}`
  const range =
    to - from < 1
      ? []
      : [
          `<line x1="${round(from)}" x2="${round(to)}" y1="${middle}" y2="${middle}" stroke="#111827" stroke-width="1"/>`,
        ]
  return [
    rect(LEFT, y + 1, Math.max(1, end - LEFT), BAR - 2, colour),
    ...range,
    text(Math.max(end, to) + 6, y + BAR - 2, label),
  ]
}

function heightOf({ groups }: Panel): number {
  return PANEL_HEAD + groups.reduce((sum, { bars }) => sum + bars.length * BAR + GROUP_GAP, 0)
}

const finite = (value: number): number => (Number.isFinite(value) ? value : 0)
const round = (value: number): string => value.toFixed(1)
const colourOf = (colours: readonly string[], index: number): string =>
  colours[Math.min(index, colours.length - 1)]!

function rect(x: number, y: number, width: number, height: number, colour: string): string {
  return `<rect x="${round(x)}" y="${round(y)}" width="${round(width)}" height="${height}" fill="${colour}"/>`
}

function text(
  x: number,
  y: number,
  words: string,
  anchor: 'start' | 'end' = 'start',
  bold = false,
): string {
  const weight = bold ? ' font-weight="600"' : ''
  return `<text x="${round(x)}" y="${round(y)}" text-anchor="${anchor}"${weight}>${escape(words)}</text>`
}

const ENTITIES: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
}

const escape = (words: string): string => words.replaceAll(/[&<>"]/g, (sign) => ENTITIES[sign]!)
