import { enterOwnNetns, Netns } from '../../support/netns.ts'
enterOwnNetns()
import assert from 'node:assert/strict'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { syncSandboxRoutes, type SandboxChanges } from '../../../src/linux/sandbox-routes.ts'
import { formatCidr, parseCidr, type Cidr } from '../../../src/net/cidr.ts'
import { parseIpv4 } from '../../../src/net/ipv4.ts'

const GATEWAY = parseIpv4('10.32.5.1')
const cidrs = (...texts: string[]): Cidr[] => texts.map(parseCidr)

/** A container with eth0 in 10.32.5.0/24 and a default route of Docker's through another bridge. */
async function sandbox(): Promise<Netns> {
  const netns = await Netns.create('s')
  await netns.run('ip', 'link', 'add', 'name', 'eth0', 'type', 'bridge')
  await netns.run('ip', 'link', 'add', 'name', 'eth1', 'type', 'bridge')
  await netns.run('ip', 'address', 'add', '10.32.5.2/24', 'dev', 'eth0')
  await netns.run('ip', 'address', 'add', '172.18.0.2/16', 'dev', 'eth1')
  await netns.run('ip', 'link', 'set', 'eth0', 'up')
  await netns.run('ip', 'link', 'set', 'eth1', 'up')
  await netns.run('ip', 'route', 'add', 'default', 'via', '172.18.0.1')
  return netns
}

async function sync(netns: Netns, wanted: Cidr[], known: Cidr[] = []): Promise<SandboxChanges> {
  const changes = await syncSandboxRoutes({ netns: netns.path, gateway: GATEWAY, wanted, known })
  assert(typeof changes === 'object')
  return changes
}

const routesOf = async (netns: Netns): Promise<string[]> =>
  (await netns.run('ip', 'route', 'show', 'via', '10.32.5.1')).split('\n').flatMap((line) => {
    return line ? [line.split(' dev')[0]!.trim() + (line.includes('proto 79') ? ' ours' : '')] : []
  })

test('routes come and go with what is wanted, and a second time nothing happens', async () => {
  await using netns = await sandbox()
  const first = await sync(netns, cidrs('10.32.6.0/24', '10.32.7.0/24'))
  assert.deepEqual(first.added.map(formatCidr), ['10.32.6.0/24', '10.32.7.0/24'])
  assert.deepEqual(await routesOf(netns), ['10.32.6.0/24 ours', '10.32.7.0/24 ours'])
  const nothing = { added: [], removed: [], refused: [] }
  assert.deepEqual(await sync(netns, cidrs('10.32.6.0/24', '10.32.7.0/24')), nothing)
  const last = await sync(netns, cidrs('10.32.7.0/24'))
  assert.deepEqual(last.removed.map(formatCidr), ['10.32.6.0/24'])
  assert.deepEqual(await routesOf(netns), ['10.32.7.0/24 ours'])
})

test("libnetwork's own static routes are kept while wanted and removed when known and unwanted", async () => {
  await using netns = await sandbox()
  await netns.run('ip', 'route', 'add', '10.32.6.0/24', 'via', '10.32.5.1')
  assert.deepEqual(await sync(netns, cidrs('10.32.6.0/24')), {
    added: [],
    removed: [],
    refused: [],
  })
  await sync(netns, [], cidrs('10.32.6.0/24'))
  assert.deepEqual(await routesOf(netns), [])
})

test('routes of others are neither removed nor covered', async () => {
  await using netns = await sandbox()
  await netns.run('ip', 'route', 'add', '10.40.0.0/16', 'via', '172.18.0.9')
  await netns.run('ip', 'route', 'add', '10.50.0.0/16', 'via', '10.32.5.1')
  const before = await netns.run('ip', 'route')
  const changes = await sync(netns, cidrs('10.40.7.0/24', '10.50.7.0/24', '172.16.0.0/12'))
  assert.deepEqual(
    changes.refused.map(({ prefix, by }) => [formatCidr(prefix), by]),
    [
      ['10.40.7.0/24', '10.40.0.0/16 via 172.18.0.9 dev eth1'],
      ['10.50.7.0/24', '10.50.0.0/16 via 10.32.5.1 dev eth0'],
      ['172.16.0.0/12', '172.18.0.0/16 dev eth1'],
    ],
  )
  assert.equal(await netns.run('ip', 'route'), before)
})

test('nothing is touched before the gateway can be reached and the announced routes are made', async () => {
  await using netns = await Netns.create('s')
  const wanted = cidrs('10.32.6.0/24', '10.32.7.0/24')
  const after = cidrs('10.32.6.0/24')
  const ask = (): Promise<unknown> =>
    syncSandboxRoutes({ netns: netns.path, gateway: GATEWAY, wanted, known: [], after })
  assert.equal(await ask(), 'unsettled')
  await netns.run('ip', 'link', 'add', 'name', 'eth0', 'type', 'bridge')
  await netns.run('ip', 'address', 'add', '10.32.5.2/24', 'dev', 'eth0')
  await netns.run('ip', 'link', 'set', 'eth0', 'up')
  assert.equal(await ask(), 'unsettled')
  await netns.run('ip', 'route', 'add', '10.32.6.0/24', 'via', '10.32.5.1')
  const added = cidrs('10.32.7.0/24')
  assert.deepEqual(await ask(), { added, removed: [], refused: [] })
})

test('a namespace that is not there, or no namespace yet, is gone', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'ovt-'))
  t.after(() => rm(folder, { recursive: true }))
  await writeFile(join(folder, 'key'), '')
  for (const netns of [join(folder, 'missing'), join(folder, 'key')]) {
    const changes = await syncSandboxRoutes({
      netns,
      gateway: GATEWAY,
      wanted: cidrs('10.32.6.0/24'),
      known: [],
    })
    assert.equal(changes, 'gone')
  }
})
