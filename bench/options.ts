import { parseArgs } from 'node:util'
import { OverlayError } from '../src/errors.ts'
import type { ModeName } from './modes.ts'
import { MODES } from './results.ts'

/** What a run is to do. */
export interface RunOptions {
  readonly kind: 'run'
  /** Names of benches, and "micro"; all when empty. */
  readonly benches: readonly string[]
  /** Names of subjects beside ours and the kernel's; null for all. */
  readonly subjects: readonly string[] | null
  readonly modes: readonly ModeName[]
  readonly rounds: number
  /** Of each measurement. */
  readonly seconds: number
}

export type Options =
  | RunOptions
  | { readonly kind: 'smoke'; readonly subjects: readonly string[] }
  | { readonly kind: 'help' | 'document' }

export const USAGE = `usage: npm run bench --              everything, written to docs/performance.md
         NAME…                     only these measurements: attach create rtt loaded tcp cpu udp memory map micro profile
         --subjects A,B            overlay-ts, the kernel's device and these; "" for those two alone
         --modes passed,segmented  one of the two, or both
         --rounds N --seconds N    how often, and how long each measurement
         --quick                   one round of one second
         --smoke                   place every subject, move a second of traffic, remove it
         --document                write docs/performance.md anew from the results of the last whole run`

const FULL = { rounds: 5, seconds: 2 }
const QUICK = { rounds: 1, seconds: 1 }

/** What can be named on the command line. */
export interface Names {
  readonly benches: readonly string[]
  readonly subjects: readonly string[]
}

/** The words of the command line. @throws OverlayError bad_input with USAGE */
export function readOptions(words: readonly string[], names: Names): Options {
  const { values, positionals } = parse(words)
  if (values.help) return { kind: 'help' }
  const subjects = values.subjects?.split(',').filter((name) => name !== '') ?? null
  refuseUnknown('subject', subjects ?? [], names.subjects)
  if (values.smoke) return { kind: 'smoke', subjects: subjects ?? [] }
  if (values.document) return { kind: 'document' }
  refuseUnknown('measurement', positionals, names.benches)
  const usual = values.quick ? QUICK : FULL
  return {
    kind: 'run',
    benches: positionals,
    subjects,
    modes: values.modes?.split(',').map(modeOf) ?? MODES,
    rounds: wholeNumber('--rounds', values.rounds) ?? usual.rounds,
    seconds: wholeNumber('--seconds', values.seconds) ?? usual.seconds,
  }
}

/** Whether everything is measured, which is what the document is written from. */
export function isWhole({ benches, subjects, modes, rounds, seconds }: RunOptions): boolean {
  return (
    benches.length === 0 &&
    subjects === null &&
    modes.length === MODES.length &&
    rounds >= FULL.rounds &&
    seconds >= FULL.seconds
  )
}

function parse(words: readonly string[]) {
  try {
    return parseArgs({
      args: [...words],
      options: {
        subjects: { type: 'string' },
        modes: { type: 'string' },
        rounds: { type: 'string' },
        seconds: { type: 'string' },
        quick: { type: 'boolean', default: false },
        smoke: { type: 'boolean', default: false },
        document: { type: 'boolean', default: false },
        help: { type: 'boolean', default: false },
      },
      allowPositionals: true,
    })
  } catch (error) {
    throw refusal(error instanceof Error ? error.message : String(error))
  }
}

function refuseUnknown(kind: string, words: readonly string[], known: readonly string[]): void {
  const unknown = words.filter((word) => !known.includes(word))
  if (unknown.length === 0) return
  throw refusal(`there is no ${kind} ${unknown.join(', ')}, only ${known.join(', ')}`)
}

function modeOf(word: string): ModeName {
  const mode = MODES.find((mode) => mode === word)
  if (mode === undefined) throw refusal(`there is no mode "${word}", only ${MODES.join(', ')}`)
  return mode
}

function wholeNumber(flag: string, word: string | undefined): number | null {
  if (word === undefined) return null
  const number = Number(word)
  if (Number.isInteger(number) && number >= 1) return number
  throw refusal(`${flag} is to be a whole number from 1 on, not "${word}"`)
}

const refusal = (why: string): OverlayError => new OverlayError('bad_input', `${why}\n${USAGE}`)
