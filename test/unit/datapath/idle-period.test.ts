import assert from 'node:assert/strict'
import { test } from 'node:test'
import { BusyPoll } from '../../../src/datapath/busy-poll.ts'
import { IdlePeriod } from '../../../src/datapath/idle-period.ts'

const SECOND = 1_000_000
const HOUR = 3600

/** It turns over within the first second. */
class FakeClock {
  #now = 0x7fff_ff00

  passes(microseconds: number): void {
    this.#now = (this.#now + microseconds) | 0
  }

  now(): number {
    return this.#now
  }

  since(then: number): number {
    return (this.#now - then) | 0
  }
}

test('an idle period lasts on, however often its length is asked for', () => {
  const clock = new FakeClock()
  const idle = new IdlePeriod(clock)
  for (const length of [100, 200, 300, 400]) {
    clock.passes(100)
    assert.equal(idle.length(), length)
  }
  idle.begin()
  assert.equal(idle.length(), 0)
  clock.passes(70)
  assert.equal(idle.length(), 70)
})

test('hours are a long time, which no end of a poll makes a short one', () => {
  const clock = new FakeClock()
  const idle = new IdlePeriod(clock)
  for (let seconds = 0; seconds < 3 * HOUR; seconds++) {
    clock.passes(SECOND)
    assert.equal(idle.length(), SECOND)
  }
  clock.passes(100)
  assert.equal(idle.length(), SECOND)
  const poll = new BusyPoll(100)
  poll.idled(idle.length())
  assert.equal(poll.window, 0)
  idle.begin()
  clock.passes(100)
  assert.equal(idle.length(), 100)
})

test('what the clock cannot hold is a long time', () => {
  const clock = new FakeClock()
  const idle = new IdlePeriod(clock)
  clock.passes(HOUR * SECOND)
  assert.equal(idle.length(), SECOND)
})
