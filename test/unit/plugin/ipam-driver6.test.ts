import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { IpamDriver } from '../../../plugin/drivers.ts'
import { ADDRESS_SPACE, createIpamDriver } from '../../../plugin/ipam-driver.ts'
import type { RequestPoolRequest } from '../../../plugin/ipam-messages.ts'
import { messageOf } from '../../../src/errors.ts'
import { MemoryStore } from '../../../src/store/memory.ts'
import { ControlHost, keysOf, writeConfig } from '../control/control-host.ts'
import { network } from '../control/control-support.ts'

const WEB = 'w'.repeat(64)
const GATEWAY = { RequestAddressType: 'com.docker.network.gateway' }

interface Cluster extends AsyncDisposable {
  readonly store: MemoryStore
  readonly hosts: readonly ControlHost[]
  readonly drivers: readonly IpamDriver[]
}

async function clusterOf(count: number): Promise<Cluster> {
  const store = new MemoryStore()
  await writeConfig(store)
  await using undo = new AsyncDisposableStack()
  const hosts: ControlHost[] = []
  for (let n = 0; n < count; n++) {
    const host = undo.use(await ControlHost.start(store, { number: 96 + n }))
    await host.publisher.run()
    hosts.push(host)
  }
  const kept = undo.move()
  const rebuild = { untilSubnet: async () => undefined }
  const drivers = hosts.map(({ journal, subnets, addresses, addresses6 }) =>
    createIpamDriver({ journal, subnets, addresses, addresses6, rebuild }),
  )
  return { store, hosts, drivers, [Symbol.asyncDispose]: () => kept.disposeAsync() }
}

const ask = (changes: Partial<RequestPoolRequest> = {}): RequestPoolRequest => ({
  AddressSpace: ADDRESS_SPACE,
  Pool: '',
  SubPool: '',
  Options: {},
  V6: false,
  ...changes,
})

/** The two calls that Docker makes for one network with `--ipv6`. */
async function askBoth(ipam: IpamDriver, changes: Partial<RequestPoolRequest> = {}, pool6 = '') {
  const ipv4 = await ipam.requestPool(ask(changes))
  const { Options = {} } = changes
  const ipv6 = await ipam.requestPool(ask({ Options, Pool: pool6, V6: true }))
  return { ipv4, ipv6 }
}

async function bind(host: ControlHost, subnet: string): Promise<void> {
  await host.journal.networks.put(WEB, network(WEB, subnet))
  await host.journal.subnets.update(subnet, (mine) => ({ ...mine, networkId: WEB }))
}

test('the IPv6 pool that Docker gets is this host’s /64 of the overlay’s, and addresses have that length', async () => {
  await using cluster = await clusterOf(1)
  const { hosts, drivers } = cluster
  const [host, ipam] = [hosts[0]!, drivers[0]!]
  const { ipv4, ipv6 } = await askBoth(ipam, { Options: { overlay: 'web' } }, 'fd00:40::/48')
  assert.match(ipv6.Pool, /^fd00:40:0:[\da-f]+::\/64$/)
  assert.equal(ipv6.PoolID, `overlay-ts:${ipv6.Pool}`)
  assert.deepEqual(ipv6.Data, { 'com.docker.network.gateway': ipv6.Pool.replace('/64', '1/64') })
  await bind(host, ipv4.Pool)
  const first = await ipam.requestAddress({ PoolID: ipv6.PoolID, Address: '', Options: {} })
  assert.equal(first.Address, ipv6.Pool.replace('/64', '2/64'))
  const wanted = ipv6.Pool.replace('/64', 'beef')
  const fixed = await ipam.requestAddress({ PoolID: ipv6.PoolID, Address: wanted, Options: {} })
  assert.equal(fixed.Address, `${wanted}/64`)
  await ipam.releaseAddress({ PoolID: ipv6.PoolID, Address: wanted })
  await ipam.requestAddress({ PoolID: ipv6.PoolID, Address: wanted, Options: {} })
})

test('a /64 as people type it gives each host a /80; without a pool a subnet is its own', async () => {
  await using cluster = await clusterOf(2)
  const [first, second] = cluster.drivers
  const changes = { Pool: '10.40.0.0/16' }
  const pools = [
    (await askBoth(first!, changes, 'fd00:95::/64')).ipv6.Pool,
    (await askBoth(second!, changes)).ipv6.Pool,
  ]
  for (const pool of pools) assert.match(pool, /^fd00:95:0:0:[\da-f]+::\/80$/)
  assert.notEqual(pools[0], pools[1])
  const plain = [await askBoth(first!), await askBoth(second!)].map(({ ipv6 }) => ipv6.Pool)
  for (const pool of plain) assert.match(pool, /^fd[\da-f]{2}:.*\/64$/)
  assert.notEqual(plain[0], plain[1])
})

test('the gateway asked for is the one given, and another within this host’s subnet', async () => {
  await using cluster = await clusterOf(1)
  const ipam = cluster.drivers[0]!
  const { ipv6 } = await askBoth(ipam, { Options: { overlay: 'web' } })
  const { PoolID, Pool } = ipv6
  const given = await ipam.requestAddress({ PoolID, Address: '', Options: GATEWAY })
  assert.equal(given.Address, Pool.replace('/64', '1/64'))
  const wanted = Pool.replace('/64', 'fe')
  for (let times = 0; times < 2; times++) {
    const { Address } = await ipam.requestAddress({ PoolID, Address: wanted, Options: GATEWAY })
    assert.equal(Address, `${wanted}/64`)
  }
  const refused = ipam.requestAddress({ PoolID, Address: 'fd00:99::1', Options: GATEWAY })
  await assert.rejects(refused, { code: 'bad_input', message: /--gateway fd00:99::1 is outside/ })
})

test('an IPv6 --aux-address is reserved before the network comes', async () => {
  await using cluster = await clusterOf(1)
  const [host, ipam] = [cluster.hosts[0]!, cluster.drivers[0]!]
  const { ipv4, ipv6 } = await askBoth(ipam)
  const reserved = ipv6.Pool.replace('/64', '2')
  await ipam.requestAddress({ PoolID: ipv6.PoolID, Address: reserved, Options: {} })
  await bind(host, ipv4.Pool)
  const { Address } = await ipam.requestAddress({ PoolID: ipv6.PoolID, Address: '', Options: {} })
  assert.equal(Address, ipv6.Pool.replace('/64', '3/64'))
})

test('released pools leave nothing, in whichever order, and stay while their network is there', async () => {
  await using cluster = await clusterOf(1)
  const { store, hosts, drivers } = cluster
  const [host, ipam] = [hosts[0]!, drivers[0]!]
  const before = await keysOf(store)
  for (const order of [
    ['ipv4', 'ipv6'],
    ['ipv6', 'ipv4'],
  ] as const) {
    const both = await askBoth(ipam, { Options: { overlay: 'web' } })
    for (const family of order) await ipam.releasePool({ PoolID: both[family].PoolID })
    assert.deepEqual(host.journal.subnets.values(), [])
    assert.deepEqual(
      (await keysOf(store)).filter((key) => key !== 'allocator'),
      before.filter((key) => key !== 'allocator'),
    )
  }
  const used = await askBoth(ipam, { Options: { overlay: 'web' } })
  await bind(host, used.ipv4.Pool)
  await ipam.releasePool({ PoolID: used.ipv6.PoolID })
  await ipam.releasePool({ PoolID: used.ipv4.PoolID })
  assert.equal(host.journal.subnets.get(used.ipv4.Pool)?.ipv6?.subnet, used.ipv6.Pool)
})

test('with --ipv4=false the one call is enough, and what it took goes back with its one pool', async () => {
  await using cluster = await clusterOf(1)
  const [host, ipam] = [cluster.hosts[0]!, cluster.drivers[0]!]
  const { PoolID, Pool } = await ipam.requestPool(ask({ V6: true, Options: { overlay: 'web' } }))
  assert.equal(host.journal.subnets.values()[0]?.ipv6?.subnet, Pool)
  await ipam.releasePool({ PoolID })
  assert.deepEqual(host.journal.subnets.values(), [])
})

test('each refusal of an IPv6 pool or address says what was wanted, what stands in the way and what to do', async () => {
  await using cluster = await clusterOf(2)
  const [near, far] = cluster.drivers
  const theirs = await askBoth(far!, { Options: { overlay: 'web' } }, 'fd00:40::/48')
  await cluster.hosts[0]!.mirror.refresh()
  const said = async (
    Options: Record<string, string>,
    Pool: string,
    SubPool = '',
  ): Promise<string> => {
    const ipv4 = await near!.requestPool(ask({ Options }))
    const answer = await near!
      .requestPool(ask({ V6: true, Options, Pool, SubPool }))
      .then(() => 'granted', messageOf)
    await near!.releasePool({ PoolID: ipv4.PoolID })
    return answer
  }
  assert.equal(
    await said({ overlay: 'web' }, 'fd00:50::/48'),
    'overlay web has the IPv6 pool fd00:40::/48, not fd00:50::/48; join it with: docker network create -d overlay-ts --ipam-driver overlay-ts --ipam-opt overlay=web --ipv6 web',
  )
  assert.equal(
    await said({ overlay: 'app' }, 'fd00:40:0:1::/64'),
    'the IPv6 pool fd00:40:0:1::/64 overlaps overlay web (fd00:40::/48); choose another IPv6 --subnet, or leave it out for one that overlay-ts chooses',
  )
  assert.equal(
    await said({ overlay: 'web' }, 'fd00:40::/48', theirs.ipv6.Pool),
    `--ip-range ${theirs.ipv6.Pool} cannot be this host's IPv6 subnet: it is held by host host-97 (${theirs.ipv6.Pool}); choose another range, or leave it out`,
  )
  assert.equal(
    await said({}, 'fd00:40::1/48'),
    '--subnet: "fd00:40::1/48" has bits beyond its prefix length; did you mean fd00:40::/48',
  )
  assert.match(await said({}, 'fd00:60::/48'), /name the overlay with --ipam-opt overlay=NAME/)
  const both = await askBoth(near!, { Options: { overlay: 'web' } })
  const wanted = theirs.ipv6.Pool.replace('/64', '9')
  const refused = near!.requestAddress({
    PoolID: both.ipv6.PoolID,
    Address: wanted,
    Options: {},
  })
  await assert.rejects(refused, {
    message: `${wanted} is not in ${both.ipv6.Pool}, the IPv6 subnet of this host; it belongs to ${theirs.ipv6.Pool} on host host-97; choose an address of this host's subnet, or run the container where its address lives`,
  })
})
