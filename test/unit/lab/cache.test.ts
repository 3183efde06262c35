import assert from 'node:assert/strict'
import { existsSync, readFileSync, rmSync, utimesSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { cached, IMAGE_CACHE } from '../../../lab/cache.ts'

const NAME = `test-${process.pid}`

test('what is kept under a name is made once', async (t) => {
  t.after(() => rmSync(join(IMAGE_CACHE, NAME), { force: true }))
  let made = 0
  const make = async (path: string): Promise<void> => writeFileSync(path, `${++made}`)
  const path = await cached(NAME, make)
  assert.equal(await cached(NAME, make), path)
  assert.equal(readFileSync(path, 'utf8'), '1')
})

test('what could not be made is not kept', async () => {
  const make = async (path: string): Promise<void> => {
    writeFileSync(path, 'half')
    throw new Error('no space left')
  }
  await assert.rejects(cached(NAME, make), /no space left/)
  assert.ok(!existsSync(join(IMAGE_CACHE, NAME)))
})

test('what nobody has asked for in hours is deleted when something else is made', async (t) => {
  const make = async (path: string): Promise<void> => writeFileSync(path, '')
  const old = await cached(`${NAME}-old`, make)
  utimesSync(old, 0, 0)
  t.after(() => rmSync(join(IMAGE_CACHE, NAME), { force: true }))
  await cached(NAME, make)
  assert.ok(!existsSync(old))
})
