import assert from 'node:assert/strict'
import { test } from 'node:test'
import { TURN_BYTES, TURN_PACKETS } from '../../../src/datapath/limits.ts'
import { EMPTY, Turn } from '../../../src/datapath/turn.ts'

/** Inputs that hold packets of given sizes, and what a turn did with them. */
class Queues {
  readonly queues: number[][]
  readonly turn: Turn
  log: string[] = []

  constructor(...queues: number[][]) {
    this.queues = queues
    this.turn = new Turn({
      count: queues.length,
      isReady: (input) => queues[input]!.length > 0,
      take: (input, used) => this.#take(input, used),
      flush: () => void this.log.push('flush'),
    })
  }

  /** Packets of each input that one more turn takes. */
  run(): number[] {
    const before = this.queues.map(({ length }) => length)
    this.turn.run()
    return this.queues.map(({ length }, input) => before[input]! - length)
  }

  #take(input: number, used: number): number {
    assert.ok(used < TURN_BYTES, 'memory beyond the turn')
    this.log.push(String(input))
    return this.queues[input]!.shift() ?? EMPTY
  }
}

const many = (size: number): number[] => Array<number>(1000).fill(size)

test('an input alone has the whole turn, by packets or by bytes', () => {
  assert.deepEqual(new Queues(many(100), [], []).run(), [TURN_PACKETS, 0, 0])
  assert.deepEqual(new Queues(many(TURN_BYTES / 4), [], []).run(), [4, 0, 0])
})

test('a packet beside a flood is taken in the same turn, and the flood takes what is left of its share', () => {
  for (const flood of [100, 60_000]) {
    const queues = new Queues(many(flood), [100], [])
    const [ofFlood, quiet] = queues.run()
    assert.equal(quiet, 1)
    assert.ok(ofFlood! > 0)
    assert.ok(ofFlood! <= TURN_PACKETS / 2)
  }
})

test('two floods share every turn, and each begins every other', () => {
  const queues = new Queues(many(100), many(100))
  for (let turn = 0; turn < 4; turn++) {
    assert.deepEqual(queues.run(), [TURN_PACKETS / 2, TURN_PACKETS / 2])
  }
})

test('inputs that together hold more than a turn can take follow each other', () => {
  const queues = new Queues(...Array.from({ length: 8 }, () => many(TURN_BYTES)))
  const taken = Array.from({ length: 8 }, () => queues.run().indexOf(1))
  assert.deepEqual(taken, [0, 1, 2, 3, 4, 5, 6, 7])
})

test('a packet alone is passed on before a second read, once the last turn had one alone', () => {
  const queues = new Queues([10])
  queues.run()
  assert.deepEqual(queues.log, ['0', '0', 'flush'])
  queues.log = []
  queues.queues[0]!.push(10)
  queues.run()
  assert.deepEqual(queues.log, ['0', 'flush', '0', 'flush'])
})

test('without anything to take nothing happens', () => {
  const queues = new Queues([], [])
  assert.equal(queues.turn.run(), false)
  assert.deepEqual(queues.log, [])
})
