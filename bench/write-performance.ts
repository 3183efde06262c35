import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { format, resolveConfig } from 'prettier'
import { barChart } from './bar-chart.ts'
import { chartOf, CHARTS } from './charts.ts'
import { documentOf } from './document.ts'
import { keptText } from './kept-text.ts'
import { BENCHES } from './plan.ts'
import type { Results } from './results.ts'

const DOCS = join(import.meta.dirname, '..', 'docs')
const DOCUMENT = join(DOCS, 'performance.md')
const FOLDER = join(DOCS, 'performance')

/** What the document was written from. */
export const RESULTS = join(FOLDER, 'results.json')

/** The document of these results, with what stands in docs/performance.md by hand. */
export async function performanceText(results: Results): Promise<string> {
  const before = existsSync(DOCUMENT) ? readFileSync(DOCUMENT, 'utf8') : ''
  return formatted(documentOf(results, { benches: BENCHES, kept: keptText(before) }), 'markdown')
}

/** Writes docs/performance.md, its plots and the results themselves. */
export async function writePerformance(results: Results): Promise<void> {
  const text = await performanceText(results)
  mkdirSync(FOLDER, { recursive: true })
  const figures = BENCHES.flatMap(({ figures }) => figures)
  for (const chart of CHARTS) {
    writeFileSync(join(FOLDER, chart.file), barChart(chartOf(chart, figures, results)))
  }
  writeFileSync(RESULTS, await formatted(results.toJson(), 'json'))
  writeFileSync(DOCUMENT, text)
}

async function formatted(text: string, parser: 'markdown' | 'json'): Promise<string> {
  return format(text, { ...(await resolveConfig(DOCUMENT)), parser })
}
