import { matchesGlob } from 'node:path'
import type { SourceFile } from './source-file.ts'
import { patternOf, STAGES } from './stages.ts'

const MOST_LINES = 400

/** Names that say nothing of what is inside. */
const VAGUE = /(^|\/|-)(utils?|helpers?|misc|common|shared|stuff)(-|\.ts$|\/)/

/** Ways to silence the type checker or the linter. */
const ESCAPES: readonly { form: RegExp; name: string }[] = [
  { form: /@ts-(ignore|nocheck|expect-error)/, name: 'a comment that silences the type checker' },
  { form: /(es|ox)lint-disable/, name: 'a comment that silences the linter' },
  { form: /\bas any\b/, name: 'a cast to any' },
]

const isTest = ({ path }: SourceFile): boolean => path.endsWith('.test.ts')

export function longFiles(files: readonly SourceFile[]): string[] {
  return files
    .filter(({ path }) => !path.startsWith('test/'))
    .map(({ path, text }) => ({ path, lines: text.split('\n').length - 1 }))
    .filter(({ lines }) => lines > MOST_LINES)
    .map(
      ({ path, lines }) =>
        `${path}: has ${lines} lines, at most ${MOST_LINES} are wanted; split it`,
    )
}

export function defaultExports(files: readonly SourceFile[]): string[] {
  return files
    .filter(({ text }) => /^export default\b|^export \{[^}]*\bas default\b/m.test(text))
    .map(({ path }) => `${path}: has a default export; a name is the same everywhere`)
}

export function barrels(files: readonly SourceFile[]): string[] {
  return files
    .filter(({ path, text }) => /(^|\/)index\.ts$/.test(path) || /^export \*/m.test(text))
    .map(
      ({ path }) =>
        `${path}: gathers the exports of other files; import the file that has the thing`,
    )
}

export function vagueNames(files: readonly SourceFile[]): string[] {
  return files
    .filter(({ path }) => VAGUE.test(path))
    .map(({ path }) => `${path}: the name says nothing; name it after what it exports`)
}

export function silencedChecks(files: readonly SourceFile[]): string[] {
  return files.flatMap(({ path, text }) =>
    ESCAPES.filter(({ form }) => form.test(text)).map(({ name }) => `${path}: has ${name}`),
  )
}

/** A test file that no stage runs, or that runs nothing, would pass for ever. */
export function testsThatDoNotRun(files: readonly SourceFile[]): string[] {
  const patterns = STAGES.flatMap(({ folders }) => folders).map(
    (folder) => `test/${patternOf(folder)}`,
  )
  return files.filter(isTest).flatMap(({ path, text, imports }) => {
    if (!patterns.some((pattern) => matchesGlob(path, pattern))) {
      return [`${path}: no stage of test/support/stages.ts runs it`]
    }
    if (!imports.includes('node:test')) return [`${path}: has no test of node:test`]
    const left = /\b(?:test|it|suite|describe)\.(skip|todo|only)\b|\b(skip|todo|only): /.exec(text)
    return left === null ? [] : [`${path}: has a test that is left out (${left[0].trim()})`]
  })
}
