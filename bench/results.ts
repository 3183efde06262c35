import { readFileSync, writeFileSync } from 'node:fs'
import type { Values } from './figure.ts'
import type { ModeName } from './modes.ts'
import { summaryOf, type Summary } from './statistics.ts'
import type { Absentee, Subject, SubjectKind } from './subjects/subject.ts'

export const MODES: readonly ModeName[] = ['passed', 'segmented']

export const MODE_TITLES: Readonly<Record<ModeName, string>> = {
  passed: 'passed through',
  segmented: 'software segmentation',
}

/** One measurement of one subject. */
export interface Measured {
  readonly bench: string
  /** null for what is measured beside the modes. */
  readonly mode: ModeName | null
  readonly subject: string
  readonly round: number
  readonly values: Values
}

/** Why a subject has no, or no further, values. */
export interface Failure {
  readonly bench: string
  readonly mode: ModeName | null
  readonly subject: string
  readonly why: string
}

/** One operation of the datapath by itself. */
export interface MicroResult {
  readonly what: string
  readonly nanoseconds: number
  /** Of packets that one operation passes over; null where bytes do not matter. */
  readonly bytes: number | null
  /** Bytes of JavaScript heap that one operation allocates; null where it may. */
  readonly allocated: number | null
}

/** Where the time of our forwarders goes: shares, of 1, in several situations. */
export interface Profile {
  readonly situations: readonly string[]
  readonly parts: readonly { readonly what: string; readonly shares: readonly number[] }[]
}

/** All of a run, as it is saved. */
export interface RunRecord {
  readonly date: string
  readonly command: string
  /** What a reader must know of the machine: processor, memory, versions. */
  readonly machine: readonly string[]
  /** Programs wanting to run before it began. */
  readonly load: number
  readonly rounds: number
  readonly seconds: number
  /** How long it took. */
  minutes: number
  /** In the order of the tables. */
  readonly subjects: Pick<Subject, 'name' | 'kind' | 'about' | 'version'>[]
  /** Who could not be measured, and why. */
  readonly absent: Absentee[]
  readonly measured: Measured[]
  readonly failures: Failure[]
  readonly micro: MicroResult[]
  /** null when it was not taken. */
  profile: Profile | null
}

/** JSON has no infinity, which is how long a lost datagram takes. */
const INFINITE = 'infinite'

const fromJson = (text: string): RunRecord =>
  JSON.parse(text, (_, value: unknown) => (value === INFINITE ? Infinity : value)) as RunRecord

/** What a run has found so far; every addition is saved, so that nothing is lost when the run is. */
export class Results {
  readonly record: RunRecord
  readonly #file: string | null

  /** @param file where to save; null saves nothing */
  constructor(record: RunRecord, file: string | null = null) {
    this.record = record
    this.#file = file
  }

  /** What another run saved. */
  static read(file: string): Results {
    return new Results(fromJson(readFileSync(file, 'utf8')))
  }

  add(measured: Measured): void {
    this.record.measured.push(measured)
    this.save()
  }

  fail(failure: Failure): void {
    this.record.failures.push(failure)
    this.save()
  }

  save(): void {
    if (this.#file !== null) writeFileSync(this.#file, this.toJson())
  }

  toJson(): string {
    return JSON.stringify(this.record, (_, value: unknown) =>
      value === Infinity ? INFINITE : value,
    )
  }

  /** Of one figure of one subject over all rounds; null when it has no values. */
  summary(figure: string, subject: string, mode: ModeName | null): Summary | null {
    return summaryOf(
      this.record.measured
        .filter((one) => one.subject === subject && one.mode === mode)
        .flatMap(({ values }) => values[figure] ?? []),
    )
  }

  /** Names of the subjects of a kind. */
  of(kind: SubjectKind): string[] {
    return this.record.subjects.filter((one) => one.kind === kind).map(({ name }) => name)
  }

  failuresOf(bench: string, mode: ModeName | null): Failure[] {
    return this.record.failures.filter((one) => one.bench === bench && one.mode === mode)
  }
}
