import assert from 'node:assert/strict'
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { z } from 'zod'
import { JournalTable } from '../../../src/control/journal-table.ts'
import { recordingLog } from './control-support.ts'

const schema = z.object({ count: z.number() })
const folders: string[] = []
after(() => Promise.all(folders.map((folder) => rm(folder, { recursive: true, force: true }))))

async function newFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'ovt-journal-'))
  folders.push(folder)
  return folder
}

const open = (folder: string, log = recordingLog().log) => JournalTable.open(folder, schema, log)

test('what was put is there after a restart, under names with slashes, and what was deleted is not', async () => {
  const folder = await newFolder()
  const table = await open(folder)
  await table.put('10.33.5.0/24', { count: 1 })
  await table.put('gone', { count: 2 })
  assert.equal(await table.delete('gone'), true)
  assert.equal(await table.delete('never there'), true)
  const again = await open(folder)
  assert.deepEqual(again.get('10.33.5.0/24'), { count: 1 })
  assert.deepEqual(again.values(), [{ count: 1 }])
})

test('a write that was cut off leaves the old record, and its rest is cleared away', async () => {
  const folder = await newFolder()
  await (await open(folder)).put('a', { count: 1 })
  await writeFile(join(folder, 'a.json.tmp'), '{"cou')
  const { log, said } = recordingLog()
  assert.deepEqual((await open(folder, log)).get('a'), { count: 1 })
  assert.deepEqual(await readdir(folder), ['a.json'])
  assert.deepEqual(said, [])
})

test('a file that does not parse is set aside with its text, and the others are read', async () => {
  const folder = await newFolder()
  await (await open(folder)).put('good', { count: 1 })
  await writeFile(join(folder, 'cut.json'), '{"count":')
  await writeFile(join(folder, 'wrong.json'), '{"count":"many"}')
  await writeFile(join(folder, '%.json'), '{"count":1}')
  const { log, said } = recordingLog()
  const table = await open(folder, log)
  assert.deepEqual(table.values(), [{ count: 1 }])
  assert.deepEqual((await readdir(folder)).toSorted(), [
    '%.json.broken',
    'cut.json.broken',
    'good.json',
    'wrong.json.broken',
  ])
  assert.equal(await readFile(join(folder, 'cut.json.broken'), 'utf8'), '{"count":')
  assert.equal(said.length, 3)
})

test('a hundred changes of one record at once are all made', async () => {
  const table = await open(await newFolder())
  await table.put('a', { count: 0 })
  await Promise.all(
    Array.from({ length: 100 }, () => table.update('a', ({ count }) => ({ count: count + 1 }))),
  )
  assert.deepEqual(table.get('a'), { count: 100 })
})

test('a change that throws changes nothing and holds nobody up', async () => {
  const table = await open(await newFolder())
  await table.put('a', { count: 1 })
  const failing = table.update('a', () => {
    throw new Error('no')
  })
  await assert.rejects(failing, /no/)
  assert.deepEqual(await table.update('a', () => ({ count: 2 })), { count: 2 })
  assert.equal(await table.update('b', () => ({ count: 2 })), undefined)
})

test('a removal may be refused in its turn, by what the record is then', async () => {
  const table = await open(await newFolder())
  await table.put('a', { count: 0 })
  const change = table.update('a', () => ({ count: 1 }))
  const removal = table.delete('a', ({ count }) => count === 0)
  await change
  assert.equal(await removal, false)
  assert.deepEqual(table.get('a'), { count: 1 })
  assert.equal(await table.delete('a', ({ count }) => count === 1), true)
  assert.equal(table.get('a'), undefined)
})

test('a record that cannot be written is not in memory either, and leaves no rest', async () => {
  const folder = await newFolder()
  const table = await open(folder)
  await mkdir(join(folder, 'in-the-way.json'))
  await assert.rejects(table.put('in-the-way', { count: 1 }))
  await assert.rejects(table.put('x'.repeat(300), { count: 1 }))
  assert.deepEqual(table.values(), [])
  assert.deepEqual(await readdir(folder), ['in-the-way.json'])
})
