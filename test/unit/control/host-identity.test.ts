import assert from 'node:assert/strict'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { readHostIdentity } from '../../../src/control/host-identity.ts'

let folder: string
before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'ovt-identity-'))
})
after(() => rm(folder, { recursive: true, force: true }))

test('a machine keeps its identity and its tunnel end, and has a new token in each process', async () => {
  const dir = join(folder, 'kept')
  const first = await readHostIdentity(dir)
  const second = await readHostIdentity(dir)
  assert.match(first.hostId, /^[0-9a-f]{32}$/)
  assert.equal(second.hostId, first.hostId)
  assert.equal(second.vtepMac, first.vtepMac)
  assert.notEqual(second.instance, first.instance)
  assert.deepEqual([...second.earlier], [first.instance])
})

test('tokens of earlier processes are forgotten once this one is confirmed, and never too many', async () => {
  const dir = join(folder, 'many')
  for (let starts = 0; starts < 120; starts++) await readHostIdentity(dir)
  const last = await readHostIdentity(dir)
  assert.ok(last.earlier.size <= 101, `${last.earlier.size} are kept`)
  await last.confirm()
  const next = await readHostIdentity(dir)
  assert.deepEqual([...next.earlier], [last.instance])
})

test('a damaged identity is said and left as it is, since a new one would abandon the leases', async () => {
  const dir = join(folder, 'damaged')
  await readHostIdentity(dir)
  await writeFile(join(dir, 'host-id'), 'half a li')
  await assert.rejects(readHostIdentity(dir), {
    code: 'host_state',
    message: /restore it, or remove/,
  })
  assert.equal(await readFile(join(dir, 'host-id'), 'utf8'), 'half a li')
})
