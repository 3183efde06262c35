import assert from 'node:assert/strict'
import { test } from 'node:test'
import { BusyPoll } from '../../../src/datapath/busy-poll.ts'

const LIMIT = 100

/** A worker whose packets follow each other at this distance. */
function paced(distance: number, packets: number, poll = new BusyPoll(LIMIT)): BusyPoll {
  for (let packet = 0; packet < packets; packet++) poll.idled(distance)
  return poll
}

/** How many of the idle periods to come are slept through from the beginning. */
function restOf(poll: BusyPoll, distance = 50): number {
  for (let periods = 0; ; periods++) {
    if (poll.window > 0) return periods
    poll.idled(distance)
  }
}

/** The core went to somebody else until the worker stopped looking. @returns how often that took */
function strain(poll: BusyPoll): number {
  for (let yields = 1; ; yields++) {
    poll.yielded(3000)
    if (poll.window === 0) return yields
  }
}

test('packets that follow each other closely are looked for, up to the limit', () => {
  assert.equal(new BusyPoll(LIMIT).window, 0)
  assert.equal(paced(80, 1).window, 25)
  assert.equal(paced(80, 2).window, 50)
  assert.equal(paced(80, 3).window, 100)
  assert.equal(paced(80, 1000).window, 100)
})

test('the window grows no longer than what finds the packets', () => {
  assert.equal(paced(20, 1000).window, 25)
})

test('with a limit of 0 nothing is ever looked for', () => {
  assert.equal(paced(1, 100, new BusyPoll(0)).window, 0)
})

test('packets that come seldom are not looked for, and one long pause ends the looking', () => {
  assert.equal(paced(1000, 100).window, 0)
  assert.equal(paced(1000, 1, paced(80, 10)).window, 0)
})

test('when looking up to the limit finds nothing, four tries are all for a while', () => {
  const poll = paced(200, 3)
  assert.equal(poll.window, 100)
  paced(200, 3, poll)
  assert.equal(poll.window, 100)
  assert.equal(paced(200, 1, poll).window, 0)
  assert.ok(restOf(poll) >= 64)
})

test('bulk ends the looking for a while', () => {
  const poll = paced(80, 10)
  poll.bulk()
  assert.ok(restOf(poll) >= 64)
})

test('a core that others need now and then is still looked from, one that they need always is not', () => {
  const poll = paced(80, 10)
  for (let times = 0; times < 100; times++) {
    poll.yielded(3000)
    paced(80, 32, poll)
    assert.equal(poll.window, 100)
  }
  assert.ok(strain(poll) <= 4)
})

test('a core that stays wanted is left alone for longer and longer, and not for ever', () => {
  const poll = paced(80, 10)
  const rests = Array.from({ length: 12 }, () => {
    strain(poll)
    return restOf(poll)
  })
  assert.deepEqual(rests.slice(0, 4), [257, 513, 1025, 2049])
  assert.equal(rests.at(-1), 65_537)
  paced(80, 200, poll)
  strain(poll)
  assert.equal(restOf(poll), 257)
})
