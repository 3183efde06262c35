import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Health } from '../../../src/store/etcd-process.ts'
import { EtcdSilence } from '../../../src/store/etcd-silence.ts'

const LOOK_MS = 5000
const FULL = { relieved: false, what: 'the database is full' }

/** Looks at intervals, a letter each: well, sick (full, if it is asked), mute (sick, and does not say of what), silent. */
function looks(letters: string): { ended: number | null; asked: number } {
  const silence = new EtcdSilence(LOOK_MS)
  let asked = 0
  for (const [n, letter] of letters.split('').entries()) {
    const begun = n * LOOK_MS
    const health: Health = letter === 'w' ? 'well' : letter === 's' ? 'silent' : 'sick'
    const isToRelieve = silence.isToRelieve(health, begun)
    if (isToRelieve) asked++
    silence.saw(health, isToRelieve && letter === 'f' ? FULL : null, begun)
    const silentFor = silence.beyondPatience(begun + LOOK_MS)
    if (silentFor !== null) return { ended: silentFor, asked }
  }
  return { ended: null, asked }
}

test('a silence of four looks is beyond patience, one that is broken is not', () => {
  assert.equal(looks('wwwsss').ended, null)
  assert.equal(looks('wwwssss').ended, 4 * LOOK_MS)
  assert.equal(looks('ssswsss').ended, null)
})

test('what says what it suffers from is not silent, also while it is not asked again', () => {
  assert.deepEqual(looks('sfffsffsfffffs'), { ended: null, asked: 1 })
  assert.deepEqual(looks('f'.repeat(13)), { ended: null, asked: 2 })
})

test('what suffers and does not say from what is no better than silent', () => {
  assert.deepEqual(looks('mmmm'), { ended: 4 * LOOK_MS, asked: 4 })
  assert.equal(looks('smsm').ended, 4 * LOOK_MS)
})

test('what has been well is asked at once when it suffers again', () => {
  assert.deepEqual(looks('fwf'), { ended: null, asked: 2 })
})
