import type { Place } from '../place.ts'

/** A way for two containers on different hosts to reach each other: what is measured beside the others. */
export interface Subject {
  /** As the tables call it. */
  readonly name: string
  readonly client: Place
  readonly server: Place
}
