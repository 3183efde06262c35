import assert from 'node:assert/strict'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { readHostIdentity } from '../../../src/control/host-identity.ts'
import { recordingLog } from './control-support.ts'

const { log, said } = recordingLog()

let folder: string
before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'ovt-identity-'))
})
after(() => rm(folder, { recursive: true, force: true }))

test('a machine keeps its identity and its tunnel end, and has a new token in each process', async () => {
  const dir = join(folder, 'kept')
  const first = await readHostIdentity(dir, log)
  const second = await readHostIdentity(dir, log)
  assert.match(first.hostId, /^[0-9a-f]{32}$/)
  assert.equal(second.hostId, first.hostId)
  assert.equal(second.vtepMac, first.vtepMac)
  assert.notEqual(second.instance, first.instance)
  assert.deepEqual([...second.earlier], [first.instance])
})

test('tokens of earlier processes are forgotten once this one is confirmed, and never too many', async () => {
  const dir = join(folder, 'many')
  for (let starts = 0; starts < 120; starts++) await readHostIdentity(dir, log)
  const last = await readHostIdentity(dir, log)
  assert.ok(last.earlier.size <= 101, `${last.earlier.size} are kept`)
  await last.confirm()
  const next = await readHostIdentity(dir, log)
  assert.deepEqual([...next.earlier], [last.instance])
})

test('a damaged identity is set aside and said, and the machine gets a new one', async () => {
  const dir = join(folder, 'damaged')
  const { hostId } = await readHostIdentity(dir, log)
  await writeFile(join(dir, 'host-id'), 'half a li')
  const next = await readHostIdentity(dir, log)
  assert.notEqual(next.hostId, hostId)
  assert.equal(await readFile(join(dir, 'host-id.broken'), 'utf8'), 'half a li')
  assert.match(said.join('\n'), /error: the file does not hold a host identity; it is set aside/)
})
