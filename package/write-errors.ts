/** Writes docs/errors.md from the sentences in the code. */
import { writeFile } from 'node:fs/promises'
import { resolve } from 'node:path'
import { format } from 'prettier'
import { errorCatalogue, errorEntries } from './error-catalogue.ts'

const text = await format(errorCatalogue(errorEntries()), { parser: 'markdown' })
await writeFile(resolve(import.meta.dirname, '../docs/errors.md'), text)
