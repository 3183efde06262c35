import type { Figure, Values } from './figure.ts'
import type { Stage } from './stage.ts'
import type { Subject } from './subjects/subject.ts'

/** What the document says of a kind of measurement. */
export interface BenchText {
  readonly name: string
  readonly title: string
  /** What is measured, and how. */
  readonly about: string
  readonly figures: readonly Figure[]
}

/** One subject made ready to be measured again and again: its servers run until it is disposed of. */
export interface Session extends AsyncDisposable {
  measure(): Promise<Values>
}

/** Measures every subject, in every mode. */
export interface ComparedBench extends BenchText {
  readonly kind: 'compared'
  /** At most so many rounds. */
  readonly rounds?: number
  /** Made for all subjects together before they begin, and undone after they ended. */
  readonly around?: (stage: Stage) => Promise<AsyncDisposable>
  /** Who can be measured; all unless told. */
  readonly includes?: (subject: Subject) => boolean
  /** @throws OverlayError when the subject cannot be measured */
  begin(subject: Subject, stage: Stage): Promise<Session>
}

/** Measures this product alone, once. */
export interface OwnBench extends BenchText {
  readonly kind: 'own'
  run(stage: Stage): Promise<Values>
}

export type Bench = ComparedBench | OwnBench
