import assert from 'node:assert/strict'
import { PassThrough } from 'node:stream'
import { test } from 'node:test'
import { pino } from 'pino'
import { EtcdOutput } from '../../../src/store/etcd-output.ts'
import { waitFor } from '../../support/wait.ts'

/** What is logged of these lines, as "level text", and what is kept of them. */
async function heard(lines: readonly string[]): Promise<{ said: string[]; lastWords: string }> {
  const said: string[] = []
  const log = pino(
    { level: 'trace' },
    {
      write(line: string) {
        const { level, msg } = JSON.parse(line) as { level: number; msg: string }
        said.push(`${pino.levels.labels[level]} ${msg}`)
      },
    },
  )
  const pipe = new PassThrough()
  const output = new EtcdOutput(pipe, log)
  pipe.end([...lines, '{"level":"error","msg":"the end"}', ''].join('\n'))
  await waitFor(() => said.at(-1) === 'error etcd: the end', { what: 'the last line' })
  return { said: said.slice(0, -1), lastWords: output.lastWords }
}

test('each line keeps its level, in both forms that etcd has', async () => {
  const { said } = await heard([
    '{"level":"info","ts":"2026-11-23T05:14:55Z","msg":"enabled capabilities"}',
    '{"level":"warn","msg":"alarm raised","alarm":"NOSPACE"}',
    '{"level":"fatal","msg":"discovery failed","error":"proto: illegal wireType 6"}',
    '2026-11-23 05:15:00.575093 W | etcdserver/api/etcdhttp: /health error',
    '2026-11-23 05:15:00.575093 C | etcdmain: listen failed',
    'panic: freepages: failed to get all reachable pages',
    'setpriv: unrecognized option: pdeathsig',
  ])
  assert.deepEqual(said, [
    'debug etcd: enabled capabilities',
    'warn etcd: alarm raised, alarm: NOSPACE',
    'error etcd: discovery failed, error: proto: illegal wireType 6',
    'warn etcd: etcdserver/api/etcdhttp: /health error',
    'error etcd: etcdmain: listen failed',
    'error etcd: panic: freepages: failed to get all reachable pages',
    'error etcd: setpriv: unrecognized option: pdeathsig',
  ])
})

test('what was asked and written, stacks and lines that cannot be read are left out', async () => {
  const { said } = await heard([
    '{"level":"warn","msg":"request took too long","took":"2s","request":"put hunter2","stacktrace":"main.main"}',
    'goroutine 95 [running]:',
    '\tgo.etcd.io/bbolt/db.go:1056 +0x99',
    '{"level":"warn","msg":',
  ])
  assert.deepEqual(said, ['warn etcd: request took too long, took: 2s'])
})

test('a line is short, and one of a kind is enough for a minute', async () => {
  const slow = (n: number): string => `{"level":"warn","msg":"slow","took":"${n}ms"}`
  const long = `{"level":"warn","msg":"${'x'.repeat(10_000)}"}`
  const { said } = await heard([...Array.from({ length: 500 }, (_, n) => slow(n)), long])
  assert.equal(said.length, 2)
  assert.ok(said.every((line) => line.length < 400))
})

test('the last warnings and errors are kept to tell why it ended', async () => {
  const warning = (n: number): string => `{"level":"warn","msg":"w${n}"}`
  const { lastWords } = await heard(Array.from({ length: 100 }, (_, n) => warning(n)))
  const lines = lastWords.split('\n')
  assert.equal(lines.at(-1), 'the end')
  assert.ok(lines.length < 20)
})

test('the usual warnings of a start are no warnings', async () => {
  const { said } = await heard([
    '{"level":"warn","msg":"simple token is not cryptographically signed"}',
  ])
  assert.deepEqual(said, ['debug etcd: simple token is not cryptographically signed'])
})
