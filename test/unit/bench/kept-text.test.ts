import assert from 'node:assert/strict'
import { test } from 'node:test'
import { keptLines, keptText } from '../../../bench/kept-text.ts'

test('what is written by hand outlives a new document', () => {
  const written = 'The profile says:\n\n- wake-ups\n- copies'
  const document = ['# Old', ...keptLines(written), 'figures'].join('\n')
  assert.equal(keptText(document), written)
  assert.equal(keptText(['# New', '', ...keptLines(keptText(document)), ''].join('\n')), written)
})

test('a document without a hand-written part has none', () => {
  assert.equal(keptText('# Performance\n'), '')
  assert.equal(keptText(keptLines('').join('\n')), '')
})
