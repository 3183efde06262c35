import { enterOwnNetns, Netns } from '../../support/netns.ts'
enterOwnNetns()
import assert from 'node:assert/strict'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { syncSandboxRoutes, type SandboxChanges } from '../../../src/linux/sandbox-routes.ts'
import { parseCidr, type Cidr } from '../../../src/net/cidr.ts'
import { formatSubnet, parseCidr6, type Cidr6 } from '../../../src/net/cidr6.ts'
import { parseIpv4 } from '../../../src/net/ipv4.ts'
import { parseIpv6 } from '../../../src/net/ipv6.ts'

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
  assert.deepEqual(first.added.map(formatSubnet), ['10.32.6.0/24', '10.32.7.0/24'])
  assert.deepEqual(await routesOf(netns), ['10.32.6.0/24 ours', '10.32.7.0/24 ours'])
  const nothing = { added: [], removed: [], refused: [] }
  assert.deepEqual(await sync(netns, cidrs('10.32.6.0/24', '10.32.7.0/24')), nothing)
  const last = await sync(netns, cidrs('10.32.7.0/24'))
  assert.deepEqual(last.removed.map(formatSubnet), ['10.32.6.0/24'])
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
    changes.refused.map(({ prefix, by }) => [formatSubnet(prefix), by]),
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

const GATEWAY6 = parseIpv6('fd00:32:0:5::1')
const cidrs6 = (...texts: string[]): Cidr6[] => texts.map(parseCidr6)

/** The same container with IPv6 on both links. */
async function sandbox6(): Promise<Netns> {
  const netns = await sandbox()
  await netns.run('ip', 'address', 'add', 'fd00:32:0:5::2/64', 'dev', 'eth0', 'nodad')
  await netns.run('ip', 'address', 'add', 'fd00:18::2/64', 'dev', 'eth1', 'nodad')
  await netns.run('ip', 'route', 'add', 'default', 'via', 'fd00:18::1')
  return netns
}

async function sync6(netns: Netns, wanted: Cidr6[], known: Cidr6[] = []): Promise<SandboxChanges> {
  const changes = await syncSandboxRoutes({ netns: netns.path, gateway: GATEWAY6, wanted, known })
  assert(typeof changes === 'object')
  return changes
}

const routes6Of = async (netns: Netns): Promise<string[]> =>
  (await netns.run('ip', '-6', 'route', 'show', 'via', 'fd00:32:0:5::1')).match(/^\S+/gm) ?? []

test('routes of IPv6 come and go likewise, and those of IPv4 are left alone', async () => {
  await using netns = await sandbox6()
  await sync(netns, cidrs('10.32.6.0/24'))
  const before = await netns.run('ip', '-4', 'route')
  const [six, seven, eight] = ['fd00:32:0:6::/64', 'fd00:32:0:7::/64', 'fd00:32:0:8::/64'] as const
  await netns.run('ip', 'route', 'add', eight, 'via', 'fd00:32:0:5::1')
  const first = await sync6(netns, cidrs6(six, seven), cidrs6(eight))
  assert.deepEqual(first.added.map(formatSubnet), [six, seven])
  assert.deepEqual(first.removed.map(formatSubnet), [eight])
  assert.deepEqual(await routes6Of(netns), [six, seven])
  const nothing = { added: [], removed: [], refused: [] }
  assert.deepEqual(await sync6(netns, cidrs6(six, seven)), nothing)
  await sync6(netns, cidrs6(seven))
  assert.deepEqual(await routes6Of(netns), [seven])
  const refused = await sync6(netns, cidrs6(seven, 'fd00:18::/48'))
  assert.deepEqual(
    refused.refused.map(({ prefix, by }) => [formatSubnet(prefix), by]),
    [['fd00:18::/48', 'fd00:18::/64 dev eth1']],
  )
  assert.equal(await netns.run('ip', '-4', 'route'), before)
})

test('nothing of IPv6 is touched before its gateway can be reached', async () => {
  await using netns = await sandbox()
  const wanted = cidrs6('fd00:32:0:6::/64')
  const ask = (after: Cidr6[]): Promise<unknown> =>
    syncSandboxRoutes({ netns: netns.path, gateway: GATEWAY6, wanted, known: [], after })
  assert.equal(await ask([]), 'unsettled')
  await netns.run('ip', 'address', 'add', 'fd00:32:0:5::2/64', 'dev', 'eth0', 'nodad')
  assert.equal(await ask(cidrs6('fd00:32:0:9::/64')), 'unsettled')
  assert.deepEqual(await ask([]), { added: wanted, removed: [], refused: [] })
})
