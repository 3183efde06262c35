import assert from 'node:assert/strict'
import { test } from 'node:test'
import { format } from 'prettier'
import { errorCatalogue, errorEntries } from '../package/error-catalogue.ts'
import { readDocument } from './support/markdown.ts'

/** Of these the user is the one who can do something. */
const THE_USERS = ['bad_input', 'unsupported', 'conflict', 'exhausted', 'not_found']

const entries = errorEntries()

test('docs/errors.md holds the sentences of the code: npm run docs:errors writes it', async () => {
  const text = await format(errorCatalogue(entries), { parser: 'markdown' })
  assert.equal(readDocument('docs/errors.md').text, text)
})

test('sentences are found wherever they are built', () => {
  const texts = entries.map(({ text }) => text)
  const has = (part: string): void =>
    assert.ok(
      texts.some((text) => text.includes(part)),
      part,
    )
  has('the name of this network is not known yet')
  has('is not an IPv4 address such as 10.32.5.2')
  assert.ok(texts.every((text) => !text.includes('${')))
})

test('every sentence that is for the user to act on says what to do', () => {
  const silent = entries
    .filter(({ codes, place }) => THE_USERS.includes(codes[0]!) && place.startsWith('`docker'))
    .filter(({ remedy }) => remedy === null)
    .map(({ file, text }) => `${file}: ${text}`)
  assert.deepEqual(silent, [])
})
