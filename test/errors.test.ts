import assert from 'node:assert/strict'
import { test } from 'node:test'
import { format } from 'prettier'
import { errorCatalogue, errorEntries } from '../package/error-catalogue.ts'
import { readDocument } from './support/markdown.ts'

/** Of these the user is the one who can do something. */
const THE_USERS = [
  'bad_input',
  'unsupported',
  'conflict',
  'exhausted',
  'not_found',
  'store_unavailable',
  'host_state',
]

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

test('a sentence with several forms is there in each of them', () => {
  const texts = entries.map(({ text }) => text)
  for (const form of [
    'is in use by a container',
    'is reserved (--aux-address)',
    'it is held by host ‹host› (‹subnet›)',
    'cannot be used for containers: it contains',
    'overlaps the route ‹to› dev ‹dev›',
    'IPv6 needs packets of 1280 bytes',
    'belongs to host ‹host› by now',
  ]) {
    assert.ok(
      texts.some((text) => text.includes(form)),
      form,
    )
  }
})

test('no sentence begins with nothing but holes', () => {
  const mute = entries.filter(({ cause }) => /^(‹[^›]*›\W*)*$/.test(cause))
  assert.deepEqual(
    mute.map(({ file, text }) => `${file}: ${text}`),
    [],
  )
})

test('a sentence stands where the user meets it', () => {
  const placeOf = (part: string): string => {
    const entry = entries.find(({ text }) => text.includes(part))
    assert.ok(entry, part)
    return entry.place
  }
  for (const part of [
    '--gateway ‹gateway› is outside',
    'not one of the length',
    'gives each host a /',
    'vni=‹asked› is taken by',
    'has the VNI ‹vni›, not',
  ]) {
    assert.equal(placeOf(part), '`docker network create`', part)
  }
  for (const part of ['choose one of ‹first› to ‹last›', 'is in use by a container']) {
    assert.equal(placeOf(part), '`docker run`, `start`, `network connect`', part)
  }
})

test('every sentence that is for the user to act on says what to do', () => {
  const silent = entries
    .filter(({ codes, place }) => THE_USERS.includes(codes[0]!) && place.startsWith('`docker'))
    .filter(({ remedy }) => remedy === null)
    // Behind a colon the kernel or a program says it.
    .filter(({ cause }) => !/: ‹[^›]*›$/.test(cause))
    .map(({ file, text }) => `${file}: ${text}`)
  assert.deepEqual(silent, [])
})
