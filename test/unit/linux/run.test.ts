import assert from 'node:assert/strict'
import { test } from 'node:test'
import { OverlayError } from '../../../src/errors.ts'
import { isMissingProgram, programStarts, run, startProgram } from '../../../src/linux/run.ts'

async function failureOf(promise: Promise<unknown>): Promise<OverlayError> {
  try {
    await promise
  } catch (error) {
    assert(error instanceof OverlayError)
    assert.equal(error.code, 'host_state')
    return error
  }
  throw new Error('the program did not fail')
}

test('a program gets its input and a fixed locale, and gives back both outputs', async () => {
  const script = 'cat; echo "$LC_ALL" >&2'
  const output = await run('sh', ['-c', script], { input: 'hello' })
  assert.deepEqual(output, { code: 0, stdout: 'hello', stderr: 'C\n' })
})

test('a failure names the command line, the exit code and what was printed', async () => {
  const error = await failureOf(run('sh', ['-c', 'echo went wrong >&2; exit 3']))
  assert.equal(error.message, 'sh -c echo went wrong >&2; exit 3: exit 3: went wrong')
  assert(!isMissingProgram(error))
})

test('an exit code that is an answer is no failure', async () => {
  assert.equal((await run('sh', ['-c', 'exit 2'], { accept: [2] })).code, 2)
  await failureOf(run('sh', ['-c', 'exit 3'], { accept: [2] }))
})

test('a program that is not installed is told apart', async () => {
  const error = await failureOf(run('no-such-program', ['x']))
  assert.match(error.message, /^no-such-program x: the program no-such-program is not installed/)
  assert(isMissingProgram(error))
})

test('a program that does not end in time is killed', async () => {
  const error = await failureOf(run('sleep', ['60'], { timeoutMs: 50 }))
  assert.equal(error.message, 'sleep 60: no end within 50 ms')
})

test('a program can be stopped', async () => {
  const stop = new AbortController()
  const failed = failureOf(run('sleep', ['60'], { signal: stop.signal }))
  stop.abort()
  assert.equal((await failed).message, 'sleep 60: stopped before it ended')
})

test('input that a program does not read is no failure', async () => {
  await run('true', [], { input: 'x'.repeat(1_000_000) })
})

test('every start is published', async () => {
  const started: unknown[] = []
  const note = (command: unknown): unknown => started.push(command)
  programStarts.subscribe(note)
  await run('true', ['one'])
  startProgram('true', ['two'])
  programStarts.unsubscribe(note)
  assert.deepEqual(started, [
    ['true', 'one'],
    ['true', 'two'],
  ])
})
