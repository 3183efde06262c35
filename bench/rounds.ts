import type { Figure } from './bench.ts'
import { median } from './statistics.ts'
import type { Stage } from './stage.ts'
import type { Subject } from './subjects/subject.ts'

/** A measurement's values by name: {"p50": 43.1, "p99": 80.2}. */
export type Values = Readonly<Record<string, number>>

/** How the values of a name become a line of the table. */
export type Heading = Pick<Figure, 'what' | 'unit' | 'target'>

/**
 * Measures every subject in every round, one after the other, so that whatever else the machine does
 * falls on all of them alike; gives the medians.
 */
export async function interleaved(
  { subjects, rounds, say }: Stage,
  measure: (subject: Subject) => Promise<Values>,
  headings: Readonly<Record<string, Heading>>,
): Promise<Figure[]> {
  const measured = new Map<Subject, Values[]>(subjects.map((subject) => [subject, []]))
  for (let round = 1; round <= rounds; round++) {
    for (const subject of subjects) {
      const values = await measure(subject)
      measured.get(subject)!.push(values)
      const list = Object.entries(values).map(([name, value]) => `${name} ${value.toFixed(2)}`)
      say(`round ${round} of ${rounds}, ${subject.name}: ${list.join(', ')}`)
    }
  }
  const [ours, reference] = subjects
  return Object.entries(headings).map(([name, heading]) => {
    const of = (subject: Subject): number[] => measured.get(subject)!.map((values) => values[name]!)
    return {
      ...heading,
      ours: median(of(ours)),
      reference: median(of(reference)),
      note: `${rounds} rounds; ours ${spread(of(ours))}, kernel ${spread(of(reference))}`,
    }
  })
}

const spread = (values: readonly number[]): string =>
  `${Math.min(...values).toFixed(1)}–${Math.max(...values).toFixed(1)}`
