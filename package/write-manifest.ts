/** Writes config.json and the table of settings in docs/plugin.md, from the program's own settings. */
import { readFile, writeFile } from 'node:fs/promises'
import { resolve } from 'node:path'
import { format } from 'prettier'
import { manifestText } from './manifest.ts'
import { settingRows } from './setting-rows.ts'

const ROOT = resolve(import.meta.dirname, '..')
const DOCUMENT = resolve(ROOT, 'docs/plugin.md')
/** The table under the heading, with what stands between the two. */
const TABLE = /(\n## Settings\n.*?\n)(\|.*?\n)(?!\|)/s

const rows = settingRows().map((cells) => `| ${cells.join(' | ')} |\n`)
const table = `| variable | value | meaning |\n| --- | --- | --- |\n${rows.join('')}`
const text = (await readFile(DOCUMENT, 'utf8')).replace(TABLE, (_, above) => `${above}${table}`)

await writeFile(DOCUMENT, await format(text, { parser: 'markdown' }))
await writeFile(resolve(ROOT, 'config.json'), manifestText())
