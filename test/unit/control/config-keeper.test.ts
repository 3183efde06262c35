import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ConfigKeeper } from '../../../src/control/config-keeper.ts'
import { parseCidr } from '../../../src/net/cidr.ts'
import { MemoryStore } from '../../../src/store/memory.ts'
import { ClusterMirror } from '../../../src/store/mirror.ts'
import { eventually } from '../../support/wait.ts'
import { keyspace } from '../store/view-support.ts'
import { recordingLog } from './control-support.ts'

const KEY = keyspace.config()
const STORED =
  '{"Network":"10.96.0.0/12","SubnetLen":25,"Backend":{"Type":"vxlan","VNI":1,"Port":4789}}'

async function keeperOn(store: MemoryStore) {
  const { log, said } = recordingLog()
  const mirror = new ClusterMirror({ store, keyspace, log })
  mirror.start()
  await mirror.ready(10_000)
  const settings = { network: parseCidr('10.32.0.0/12'), subnetLength: 24, vxlanPort: 8472 }
  const keeper = new ConfigKeeper({ store, keys: keyspace, mirror, settings, log })
  const warnings = (): string[] => said.filter((line) => line.startsWith('warn'))
  return { keeper, mirror, warnings, [Symbol.asyncDispose]: () => mirror.stop() }
}

const storedIn = async (store: MemoryStore): Promise<string | undefined> =>
  (await store.range(KEY)).entries.get(KEY)?.value

test("the first host's variables become the configuration", async () => {
  const store = new MemoryStore()
  await using host = await keeperOn(store)
  assert.equal(host.keeper.isAgreed, false)
  await host.keeper.ensure()
  assert.match((await storedIn(store))!, /"Network":"10\.32\.0\.0\/12"/)
  assert.deepEqual([host.keeper.isAgreed, host.keeper.port, host.warnings()], [true, 8472, []])
})

test('a stored configuration wins, and what it overrules is said once', async () => {
  const store = new MemoryStore()
  await store.commit([], [{ put: KEY, value: STORED }])
  await using host = await keeperOn(store)
  await host.keeper.ensure()
  await host.keeper.ensure()
  assert.equal(host.keeper.port, 4789)
  assert.equal(host.warnings().length, 3)
})

test('a store that lost its configuration gets the one that it had, not the variables of this host', async () => {
  const store = new MemoryStore()
  await store.commit([], [{ put: KEY, value: STORED }])
  await using host = await keeperOn(store)
  host.keeper.note()
  await host.keeper.ensure()
  await store.commit([], [{ delete: KEY }])
  await eventually(() => assert.equal(host.mirror.view().config, null), {
    what: 'the loss to be seen',
  })
  host.keeper.note()
  await host.keeper.restore()
  assert.equal(await storedIn(store), STORED)
  assert.equal(host.mirror.view().config?.port, 4789)
})

test('a map that was saved gives its configuration to a store that comes back empty', async () => {
  const store = new MemoryStore()
  await store.commit([], [{ put: KEY, value: STORED }])
  await using host = await keeperOn(store)
  host.keeper.note()
  // Gone from the store, and the map does not know it yet.
  await store.commit([], [{ delete: KEY }])
  await host.keeper.ensure()
  assert.equal(await storedIn(store), STORED)
})

test('a configuration that does not parse is neither remembered nor written over', async () => {
  const store = new MemoryStore()
  await store.commit([], [{ put: KEY, value: '{"Network":' }])
  await using host = await keeperOn(store)
  host.keeper.note()
  await assert.rejects(host.keeper.ensure(), { code: 'bad_input' })
  await host.keeper.restore()
  assert.equal(await storedIn(store), '{"Network":')
})
