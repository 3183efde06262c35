import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { openJournal } from '../../../src/control/journal.ts'
import type { KnownNetwork } from '../../../src/control/known-networks.ts'
import { MISSING_MS, RemovedNetworks } from '../../../src/control/removed-networks.ts'
import { endpoint, network, recordingLog } from './control-support.ts'

const known = (...ids: string[]): KnownNetwork[] =>
  ids.map((id) => ({
    id,
    name: id,
    ipam: 'docker',
    internal: false,
    ipv4: true,
    mtu: null,
    egress: 'docker',
    subnet: null,
    gateway: null,
    subnet6: null,
    gateway6: null,
    reserved: [],
    endpoints: [],
  }))

/** Three networks, of which "shy" has no name and "busy" a container. */
async function three(t: TestContext) {
  const folder = await mkdtemp(join(tmpdir(), 'ovt-removed-'))
  t.after(() => rm(folder, { recursive: true }))
  const { log } = recordingLog()
  const journal = await openJournal(folder, log)
  for (const id of ['idle', 'shy', 'busy']) {
    const name = id === 'shy' ? null : id
    await journal.networks.put(id, network(id, '10.33.5.0/24', { name }))
  }
  await journal.endpoints.put('e', endpoint('e', 'busy', '10.33.5.2/17'))
  const removed: string[] = []
  const networks = new RemovedNetworks({
    journal,
    isInUse: async ({ id }) => id === 'e',
    remove: async (id) => {
      removed.push(id)
      await journal.networks.delete(id)
    },
    log,
  })
  return { networks, removed, all: ['idle', 'shy', 'busy'] }
}

test('what is missing from two lists is removed, unless it is in use or was never seen there', async (t) => {
  const { networks, removed, all } = await three(t)
  await networks.compare(all, known(), 0)
  assert.deepEqual([removed, networks.isDoubting], [[], true])
  await networks.compare(all, known(), MISSING_MS - 1)
  assert.deepEqual(removed, [])
  await networks.compare(all, known(), MISSING_MS)
  assert.deepEqual([removed, networks.isDoubting], [['idle'], false])
})

test('what is listed again, or came after the list was asked for, is not doubted', async (t) => {
  const { networks, removed, all } = await three(t)
  await networks.compare(all, known(), 0)
  await networks.compare(all, known('idle'), 10)
  assert.equal(networks.isDoubting, false)
  await networks.compare(all, known(), MISSING_MS + 1)
  await networks.compare([], known(), 3 * MISSING_MS)
  assert.deepEqual(removed, [])
})
