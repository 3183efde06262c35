import assert from 'node:assert/strict'
import { test } from 'node:test'
import { STORE_PATIENCE_MS } from '../../src/control/patience.ts'
import type { SubnetWish } from '../../src/control/subnet-wish.ts'
import { ANY_SUBNET6 } from '../../src/control/subnet6-wish.ts'
import { messageOf } from '../../src/errors.ts'
import { formatCidr6 } from '../../src/net/cidr6.ts'
import { EtcdStore } from '../../src/store/etcd.ts'
import { parseView } from '../../src/store/parse-view.ts'
import { EtcdServer } from '../support/etcd-server.ts'
import { settlesWithin } from '../support/settles-within.ts'
import { eventually, waitFor } from '../support/wait.ts'
import { ControlHost, keysOf, pooled, routed, writeConfig } from '../unit/control/control-host.ts'
import { endpoint } from '../unit/control/control-support.ts'
import { keyspace } from '../unit/store/view-support.ts'

const WEB = 'w'.repeat(64)
/** What a caller waits beside the store: programs, files, a busy machine. */
const SLACK_MS = 4000

/** Hosts on a real etcd of their own, all gone in the end. */
async function cluster(undo: AsyncDisposableStack, count: number) {
  const server = undo.use(await EtcdServer.start())
  const store = new EtcdStore({ endpoints: server.endpoints })
  undo.defer(() => store.close())
  await writeConfig(store)
  const hosts: ControlHost[] = []
  for (let n = 0; n < count; n++) {
    hosts.push(undo.use(await ControlHost.start(store, { number: 96 + n })))
  }
  return { server, store, hosts }
}

test('hosts that lease at once from a real etcd share a pool without overlap', async () => {
  await using undo = new AsyncDisposableStack()
  const { store, hosts } = await cluster(undo, 3)
  let refusals = 0
  // Nine that race for one key take seconds on a busy machine: who is told to try again does.
  const lease = async (host: ControlHost, wish: SubnetWish): Promise<string> => {
    for (;;) {
      try {
        return (await host.subnets.lease(wish, null)).subnet
      } catch (error) {
        if (!/try again/.test(messageOf(error))) throw error
        refusals++
      }
    }
  }
  const wishes = [pooled('web'), pooled('web'), routed('app')]
  const leased = await Promise.all(hosts.flatMap((host) => wishes.map((wish) => lease(host, wish))))
  const view = parseView(keyspace, await store.range(keyspace.root))
  assert.deepEqual(view.problems, [])
  assert.equal(new Set(leased).size, 9)
  for (const subnet of leased) assert.ok(view.subnets.has(subnet), subnet)
  // The work of a call that was refused for its time goes on unheard.
  assert.ok(view.subnets.size <= 9 + refusals, `${view.subnets.size} subnets`)
  assert.equal(view.overlays.size, 2)
})

test('hosts that ask for IPv6 halves at once have one pool and a subnet of it each, which a removal takes along', async () => {
  await using undo = new AsyncDisposableStack()
  const { store, hosts } = await cluster(undo, 3)
  const held = await Promise.all(
    hosts.map(async ({ subnets }) => {
      await subnets.lease(pooled('web'), null)
      return subnets.lease6(pooled('web'), ANY_SUBNET6)
    }),
  )
  const view = parseView(keyspace, await store.range(keyspace.root))
  assert.deepEqual(view.problems, [])
  assert.equal(new Set(held.map(({ ipv6 }) => ipv6!.pool)).size, 1)
  const subnets = new Set(held.map(({ ipv6 }) => ipv6!.subnet))
  assert.deepEqual(
    new Set(view.subnets.values().map(({ ipv6 }) => formatCidr6(ipv6!.subnet))),
    subnets,
  )
  assert.equal(subnets.size, 3)
  for (const [at, host] of hosts.entries()) await host.subnets.giveBack(held[at]!.subnet)
  assert.deepEqual(
    (await keysOf(store)).filter((key) => /^(subnets|holders|overlays)\//.test(key)),
    [],
  )
})

test('a network with two hundred containers is published and removed in transactions that etcd takes', async () => {
  await using undo = new AsyncDisposableStack()
  const { store, hosts } = await cluster(undo, 1)
  const host = hosts[0]!
  const subnet = await host.createNetwork(WEB, pooled('web'))
  for (let n = 2; n < 202; n++) {
    const address = subnet.replace('.0/24', `.${n}/17`)
    await host.journal.endpoints.put(`e${n}`, endpoint(`e${n}`, WEB, address))
  }
  await host.publisher.run()
  const published = (await keysOf(store)).filter((key) => key.startsWith('endpoints/'))
  assert.equal(published.length, 200)
  await host.removeNetwork(WEB)
  assert.deepEqual(
    (await keysOf(store)).filter((key) => /^(endpoints|subnets|holders|overlays)\//.test(key)),
    [],
  )
})

test('an etcd that comes back empty gets everything back under new leases', async () => {
  await using undo = new AsyncDisposableStack()
  const { server, store, hosts } = await cluster(undo, 2)
  for (const host of hosts) {
    await host.createNetwork(WEB, pooled('web'))
    await host.publisher.run()
  }
  const before = await keysOf(store)
  await server.wipe()
  await server.restart()
  // In a known outage a call is tried once, and the store notices a moment later that it is over.
  await waitFor(() => store.range('/'), { what: 'etcd to answer again' })
  await writeConfig(store)
  for (const host of hosts) {
    await eventually(() => host.publisher.run(), {
      timeout: 30_000,
      what: 'the empty etcd to be filled',
    })
  }
  assert.deepEqual(await keysOf(store), before)
})

test('while etcd hangs a caller waits no longer than told, and is told since when', async () => {
  await using undo = new AsyncDisposableStack()
  const { server, hosts } = await cluster(undo, 1)
  const host = hosts[0]!
  const subnet = await host.createNetwork(WEB, pooled('web'))
  await host.publisher.run()
  server.pause()
  const most = STORE_PATIENCE_MS + SLACK_MS
  const refused = assert.rejects(host.subnets.lease(routed('app'), null), {
    code: 'store_unavailable',
    message: /since|within/,
  })
  await settlesWithin(most, refused, 'the lease')
  const ip = await host.addresses.request(subnet, 'endpoint', null)
  assert.ok(ip > 0, 'addresses of a leased subnet need no etcd')
  await settlesWithin(most, host.removeNetwork(WEB), 'the removal')
  assert.equal(host.journal.subnets.get(subnet), undefined)
  server.resume()
})
