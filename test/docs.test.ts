import assert from 'node:assert/strict'
import { existsSync, globSync, readFileSync } from 'node:fs'
import { posix, resolve } from 'node:path'
import { test } from 'node:test'
import { OPTION_NAMES } from '../plugin/options.ts'
import { SETTINGS, type Setting } from '../plugin/settings.ts'
import {
  anchorsOf,
  fencesOf,
  linksOf,
  readDocument,
  readDocuments,
  tableUnder,
} from './support/markdown.ts'
import { ROOT } from './support/source-file.ts'

const documents = readDocuments()
const readme = readDocument('README.md')
/** `npm run demo`, alone on its line or behind another command, a variable or sudo. */
const COMMAND = /^(?:.*&& |sudo |\$ )?(?:[A-Z_]+=\S+ )*npm (?:run )?(?:-s )?([a-z][a-z:-]*)/

const isThere = (path: string): boolean => existsSync(resolve(ROOT, path))

test('every link within the project leads somewhere', () => {
  const broken = documents.flatMap((document) =>
    linksOf(document)
      .filter((target) => !/^[a-z]+:/.test(target))
      .filter((target) => {
        const [file = '', anchor] = target.split('#')
        const path = file === '' ? document.path : posix.join(posix.dirname(document.path), file)
        if (!isThere(path)) return true
        return anchor !== undefined && !anchorsOf(readDocument(path)).includes(anchor)
      })
      .map((target) => `${document.path}: ${target}`),
  )
  assert.deepEqual(broken, [])
})

test("the README's settings are the program's, with their defaults and words", () => {
  const settings: [string, Setting<unknown>][] = Object.entries(SETTINGS)
  assert.deepEqual(
    tableUnder(readme, '## Settings'),
    settings.map(([name, { fallback, whenUnset, meaning }]) => [
      `\`${name}\``,
      fallback === '' ? whenUnset : `\`${fallback}\``,
      meaning,
    ]),
  )
})

test('the options in the README are understood, and none is missing', () => {
  const written = tableUnder(readme, '## Options').map(([, option]) => option!.replaceAll('`', ''))
  const named = (flag: string): string[] =>
    written.flatMap((option) => new RegExp(`^${flag} ([a-z-]+)=$`).exec(option)?.[1] ?? [])
  for (const flag of ['-o', '--ipam-opt'] as const) {
    assert.deepEqual(named(flag).sort(), OPTION_NAMES[flag].toSorted())
  }
})

test('commands in the documents are commands of the project', () => {
  const { scripts } = JSON.parse(readFileSync(resolve(ROOT, 'package.json'), 'utf8')) as {
    scripts: Record<string, string>
  }
  const typed = documents.flatMap((document) =>
    fencesOf(document).flatMap(({ lines }) =>
      lines.flatMap((line) => {
        const command = COMMAND.exec(line)?.[1]
        return command === undefined ? [] : [`${document.path}: ${command}`]
      }),
    ),
  )
  assert.ok(typed.length >= 5, 'the documents show commands')
  const npmsOwn = ['ci', 'install']
  const unknown = typed.filter((entry) => {
    const command = entry.split(': ')[1]!
    return scripts[command] === undefined && !npmsOwn.includes(command)
  })
  assert.deepEqual(unknown, [])
})

test('every feature names a test, and every test of real Docker hosts a feature', () => {
  const features = readDocument('docs/features.md')
  const parts = ['Networks', 'What a Docker user types', 'When things fail', 'Packets', 'Operation']
  const rows = parts.flatMap((part) => tableUnder(features, `## ${part}`))
  const unproved = rows.filter(([, , proof]) => !/\]\([^)]+\.test\.ts\)/.test(proof ?? ''))
  assert.deepEqual(unproved, [])
  assert.doesNotMatch(features.text, /\bshould\b/i, 'what is proved is, and nothing is hoped for')
  const linked = linksOf(features).map((target) => posix.join('docs', target))
  const unnamed = globSync('test/e2e/**/*.test.ts', { cwd: ROOT }).filter(
    (path) => !linked.includes(path),
  )
  assert.deepEqual(unnamed, [])
})

test('every decision on record has its parts, its number and its place in the architecture', () => {
  const records = documents.filter(({ path }) => path.startsWith('docs/adr/'))
  const linked = linksOf(readDocument('docs/architecture.md'))
  for (const [index, record] of records.entries()) {
    const number = index + 1
    assert.match(record.path, new RegExp(`/${String(number).padStart(4, '0')}-[a-z0-9-]+\\.md$`))
    assert.match(record.text, new RegExp(`^# ${number}\\. `))
    assert.match(record.text, /^\*\*Status:\*\* (accepted|replaced by \[\d{4}\]\(.+\))$/m)
    for (const part of ['Context', 'Decision', 'Consequences']) {
      assert.match(record.text, new RegExp(`^## ${part}$`, 'm'), `${record.path}: ${part}`)
    }
    assert.ok(linked.includes(record.path.replace('docs/', '')), `${record.path} is not linked`)
  }
})
