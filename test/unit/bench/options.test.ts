import assert from 'node:assert/strict'
import { test } from 'node:test'
import { isWhole, readOptions, type RunOptions } from '../../../bench/options.ts'
import { BENCHES, planOf } from '../../../bench/plan.ts'

const NAMES = {
  benches: [...BENCHES.map(({ name }) => name), 'micro'],
  subjects: ['n2n', 'tinc'],
}

function run(...words: string[]): RunOptions {
  const options = readOptions(words, NAMES)
  assert.equal(options.kind, 'run')
  return options
}

const refused = (...words: string[]): void =>
  assert.throws(() => readOptions(words, NAMES), { code: 'bad_input' })

test('without a word everything is measured, and written down', () => {
  const options = run()
  assert.ok(isWhole(options))
  const names = planOf(options).flatMap(({ benches }) => benches.map(({ name }) => name))
  assert.deepEqual([...new Set(names)].sort(), BENCHES.map(({ name }) => name).sort())
})

test('a part of it is not written down', () => {
  const parts = [
    ['tcp'],
    ['--quick'],
    ['--subjects', 'n2n'],
    ['--modes', 'passed'],
    ['--rounds', '4'],
    ['--seconds', '1'],
  ]
  for (const words of parts) assert.equal(isWhole(run(...words)), false, words.join(' '))
  assert.ok(isWhole(run('--rounds', '9', '--seconds', '5')))
})

test('words choose what is measured, of whom, how often and how long', () => {
  const { kind: _, ...options } = run('tcp', 'rtt', '--subjects', 'n2n,tinc', '--rounds', '3')
  assert.deepEqual(options, {
    benches: ['tcp', 'rtt'],
    subjects: ['n2n', 'tinc'],
    modes: ['passed', 'segmented'],
    rounds: 3,
    seconds: 2,
  })
  assert.deepEqual(run('--subjects', '').subjects, [])
  assert.deepEqual(run('--quick', '--seconds', '3').seconds, 3)
})

test('what measures in every mode comes in every mode, the rest once, the map last', () => {
  assert.deepEqual(
    planOf(run('attach', 'tcp', 'map')).map(({ mode, benches }) => [
      mode,
      ...benches.map(({ name }) => name),
    ]),
    [
      [null, 'attach'],
      ['passed', 'tcp'],
      ['segmented', 'tcp'],
      [null, 'map'],
    ],
  )
  assert.deepEqual(planOf(run('micro')), [])
})

test('other uses of the command are told apart', () => {
  assert.deepEqual(readOptions(['--smoke', '--subjects', 'n2n'], NAMES), {
    kind: 'smoke',
    subjects: ['n2n'],
  })
  assert.deepEqual(readOptions(['--document'], NAMES), { kind: 'document' })
  assert.deepEqual(readOptions(['--help'], NAMES), { kind: 'help' })
})

test('what is not understood is refused', () => {
  refused('tpc')
  refused('--subjects', 'n2n,n3n')
  refused('--rounds', '0')
  refused('--seconds', 'two')
  refused('--modes', 'fast')
  refused('--no-such')
})
