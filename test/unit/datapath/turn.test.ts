import assert from 'node:assert/strict'
import { test } from 'node:test'
import { TURN_BYTES, TURN_PACKETS } from '../../../src/datapath/limits.ts'
import { type Taken, Turn } from '../../../src/datapath/turn.ts'

/** Inputs that hold packets of given sizes, and what a turn did with them. */
class Queues {
  readonly queues: number[][]
  readonly turn: Turn
  log: string[] = []
  /** What one take brings at most. */
  batch = 1

  constructor(...queues: number[][]) {
    this.queues = queues
    this.turn = new Turn({
      count: queues.length,
      isReady: (input) => queues[input]!.length > 0,
      take: (input, taken, used, packets) => this.#take(input, taken, used, packets),
      flush: () => void this.log.push('flush'),
    })
  }

  /** Packets of each input that one more turn takes. */
  run(): number[] {
    const before = this.queues.map(({ length }) => length)
    this.turn.run()
    return this.queues.map(({ length }, input) => before[input]! - length)
  }

  #take(input: number, taken: Taken, used: number, packets: number): void {
    assert.ok(used < TURN_BYTES, 'memory beyond the turn')
    this.log.push(String(input))
    const queue = this.queues[input]!
    const bytes = queue.splice(0, Math.min(packets, this.batch))
    taken.packets = bytes.length
    taken.bytes = bytes.reduce((sum, size) => sum + size, 0)
    taken.isLast = this.batch > 1 && bytes.length < this.batch
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

test('an input that gave less than it was asked for is not asked again', () => {
  const queues = new Queues([10, 10], [10])
  queues.batch = 8
  assert.deepEqual(queues.run(), [2, 1])
  assert.deepEqual(queues.log, ['0', '1', 'flush'])
})

test('an input is asked for no more than is left of its share', () => {
  const queues = new Queues(many(100), many(100))
  queues.batch = TURN_PACKETS
  assert.deepEqual(queues.run(), [TURN_PACKETS / 2, TURN_PACKETS / 2])
})
