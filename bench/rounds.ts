import { messageOf } from '../src/errors.ts'
import type { ComparedBench, Session } from './bench.ts'
import { digits } from './figure.ts'
import type { ModeName } from './modes.ts'
import type { Results } from './results.ts'
import type { Stage } from './stage.ts'
import type { Subject, SubjectKind } from './subjects/subject.ts'

/** Ours, the kernel's and the C program are compared closely; the others take part in every third round. */
const CLOSELY: readonly SubjectKind[] = ['ours', 'kernel', 'reference']
const EVERY = 3

/** In the first round all take part. @param round from 1 */
export function takesPart(kind: SubjectKind, round: number): boolean {
  return CLOSELY.includes(kind) || round % EVERY === 1
}

/** Another one begins in every round. @param round from 1 */
export function rotated<T>(all: readonly T[], round: number): T[] {
  const first = all.length === 0 ? 0 : (round - 1) % all.length
  return [...all.slice(first), ...all.slice(0, first)]
}

/**
 * Measures every subject in every round, one after the other. One that fails is left out from then on,
 * and its failure recorded; the others go on.
 */
export async function measureInTurn(
  bench: ComparedBench,
  mode: ModeName | null,
  stage: Stage,
  results: Results,
): Promise<void> {
  const { subjects, say } = stage
  const rounds = Math.min(stage.rounds, bench.rounds ?? Infinity)
  await using open = new AsyncDisposableStack()
  if (bench.around !== undefined) open.use(await bench.around(stage))
  const sessions = new Map<Subject, Session>()
  const attempt = async (subject: Subject, work: () => Promise<void>): Promise<void> => {
    try {
      await work()
    } catch (error) {
      sessions.delete(subject)
      const why = messageOf(error)
      say(`${subject.name} failed: ${why}`)
      results.fail({ bench: bench.name, mode, subject: subject.name, why })
    }
  }
  for (const subject of subjects.filter((one) => bench.includes?.(one) ?? true)) {
    await attempt(subject, async () => {
      sessions.set(subject, open.use(await bench.begin(subject, stage)))
    })
  }
  for (let round = 1; round <= rounds; round++) {
    for (const subject of rotated(subjects, round)) {
      const session = sessions.get(subject)
      if (session === undefined || !takesPart(subject.kind, round)) continue
      await attempt(subject, async () => {
        const values = await session.measure()
        results.add({ bench: bench.name, mode, subject: subject.name, round, values })
        const list = Object.entries(values).map(([name, value]) => `${name} ${digits(value)}`)
        say(`round ${round} of ${rounds}, ${subject.name}: ${list.join(', ')}`)
      })
    }
  }
}
