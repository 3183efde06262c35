import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { IpamDriver } from '../../../plugin/drivers.ts'
import { ADDRESS_SPACE, createIpamDriver } from '../../../plugin/ipam-driver.ts'
import type { RequestPoolRequest } from '../../../plugin/ipam-messages.ts'
import { containsCidr, parseCidr } from '../../../src/net/cidr.ts'
import { MemoryStore } from '../../../src/store/memory.ts'
import { ControlHost, writeConfig } from '../control/control-host.ts'
import { network } from '../control/control-support.ts'

const WEB = 'w'.repeat(64)
const GATEWAY = { RequestAddressType: 'com.docker.network.gateway' }

async function hostWithDriver(): Promise<{
  host: ControlHost
  ipam: IpamDriver
  store: MemoryStore
}> {
  const store = new MemoryStore()
  await writeConfig(store)
  const host = await ControlHost.start(store, { number: 96 })
  const { journal, subnets, addresses, addresses6 } = host
  const rebuild = { untilSubnet: async () => undefined }
  const parts = { journal, subnets, addresses, addresses6, rebuild }
  return { host, store, ipam: createIpamDriver(parts) }
}

const ask = (changes: Partial<RequestPoolRequest> = {}): RequestPoolRequest => ({
  AddressSpace: ADDRESS_SPACE,
  Pool: '',
  SubPool: '',
  Options: {},
  V6: false,
  ...changes,
})

/** The network comes that the pool was asked for. */
async function bind(host: ControlHost, subnet: string): Promise<void> {
  await host.journal.networks.put(WEB, network(WEB, subnet))
  await host.journal.subnets.update(subnet, (mine) => ({ ...mine, networkId: WEB }))
}

test('both address spaces have one name, and no pool is to be asked for again', async () => {
  const { host, ipam } = await hostWithDriver()
  await using _ = host
  const { LocalDefaultAddressSpace, GlobalDefaultAddressSpace } =
    await ipam.getDefaultAddressSpaces()
  assert.deepEqual(
    [LocalDefaultAddressSpace, GlobalDefaultAddressSpace],
    [ADDRESS_SPACE, ADDRESS_SPACE],
  )
  assert.equal((await ipam.getCapabilities()).RequiresRequestReplay, false)
})

test("the pool that Docker gets is this host's subnet; containers get the length of the whole", async () => {
  const { host, ipam } = await hostWithDriver()
  await using _ = host
  const { PoolID, Pool, Data } = await ipam.requestPool(ask({ Options: { overlay: 'web' } }))
  assert.ok(containsCidr(parseCidr('10.32.0.0/17'), parseCidr(Pool)))
  assert.deepEqual(Data, { 'com.docker.network.gateway': Pool.replace('.0/24', '.1/24') })
  await bind(host, Pool)
  const { Address } = await ipam.requestAddress({ PoolID, Address: '', Options: {} })
  assert.equal(Address, Pool.replace('.0/24', '.2/17'))
})

test('a shared pool, a part of it, and no wish at all', async () => {
  const { host, ipam } = await hostWithDriver()
  await using _ = host
  const part = await ipam.requestPool(ask({ Pool: '10.40.0.0/16', SubPool: '10.40.7.0/24' }))
  assert.equal(part.Pool, '10.40.7.0/24')
  const shared = await ipam.requestPool(ask({ Pool: '10.40.0.0/16' }))
  assert.ok(containsCidr(parseCidr('10.40.0.0/16'), parseCidr(shared.Pool)))
  const plain = await ipam.requestPool(ask())
  assert.ok(containsCidr(parseCidr('10.47.128.0/17'), parseCidr(plain.Pool)))
  const wide = await ipam.requestPool(
    ask({ Options: { overlay: 'w', 'pool-len': '20', 'subnet-len': '26' } }),
  )
  const held = host.journal.subnets.get(wide.Pool)
  assert.deepEqual([held?.prefixLength, parseCidr(wide.Pool).length], [20, 26])
})

test('an unknown option, and one that lacks its overlay, is refused before anything is leased', async () => {
  const { host, ipam } = await hostWithDriver()
  await using _ = host
  for (const [Options, message] of [
    [{ overlay: 'web', 'pool-lem': '20' }, /did you mean --ipam-opt pool-len=\?/],
    [{ vni: '5000' }, /--ipam-opt vni=5000 needs .*: add --ipam-opt overlay=NAME$/],
    [{ 'pool-len': '20' }, /--ipam-opt pool-len=20 needs .*: add --ipam-opt overlay=NAME$/],
  ] as const) {
    await assert.rejects(ipam.requestPool(ask({ Options })), { code: 'bad_input', message })
  }
  assert.deepEqual(host.journal.subnets.values(), [])
  const { Pool } = await ipam.requestPool(ask({ Options: { overlay: 'web', vni: '5000' } }))
  assert.equal(host.journal.subnets.get(Pool)?.vni, 5000)
})

test('what is no prefix of its family is refused before anything is leased', async () => {
  const { host, ipam } = await hostWithDriver()
  await using _ = host
  await assert.rejects(ipam.requestPool(ask({ V6: true, Pool: '10.40.0.0/16' })), {
    code: 'bad_input',
    message: /^--subnet: "10\.40/,
  })
  await assert.rejects(ipam.requestPool(ask({ Pool: 'fd00::/64' })), {
    code: 'bad_input',
    message: /^--subnet: "fd00/,
  })
  await assert.rejects(ipam.requestPool(ask({ Pool: '10.40.0.0/16', SubPool: '10.40.7.1/24' })), {
    code: 'bad_input',
    message: /^--ip-range: "10\.40\.7\.1\/24" .*did you mean 10\.40\.7\.0\/24/,
  })
  assert.deepEqual(host.journal.subnets.values(), [])
})

test('the gateway asked for is the one given, by Docker or by the user, again and again', async () => {
  const { host, ipam } = await hostWithDriver()
  await using _ = host
  const { PoolID, Pool } = await ipam.requestPool(ask({ Options: { overlay: 'web' } }))
  const first = await ipam.requestAddress({ PoolID, Address: '', Options: GATEWAY })
  assert.equal(first.Address, Pool.replace('.0/24', '.1/17'))
  const wanted = Pool.replace('.0/24', '.254')
  for (let times = 0; times < 2; times++) {
    const { Address } = await ipam.requestAddress({ PoolID, Address: wanted, Options: GATEWAY })
    assert.equal(Address, `${wanted}/17`)
  }
})

test('an --aux-address is reserved before the network comes, and never taken back for want of a container', async () => {
  const { host, ipam } = await hostWithDriver()
  await using _ = host
  const { PoolID, Pool } = await ipam.requestPool(ask({ Options: { overlay: 'web' } }))
  const reserved = Pool.replace('.0/24', '.2')
  await ipam.requestAddress({ PoolID, Address: reserved, Options: {} })
  await bind(host, Pool)
  const { Address } = await ipam.requestAddress({ PoolID, Address: '', Options: {} })
  assert.equal(Address, Pool.replace('.0/24', '.3/17'))
  assert.equal(await host.addresses.reclaim(Date.now() + 3_600_000), 1)
  await assert.rejects(ipam.requestAddress({ PoolID, Address: reserved, Options: {} }), /reserved/)
})

test('a released pool goes at once if no network came, and with its network otherwise', async () => {
  const { host, ipam } = await hostWithDriver()
  await using _ = host
  const unused = await ipam.requestPool(ask())
  await ipam.releasePool({ PoolID: unused.PoolID })
  await ipam.releasePool({ PoolID: unused.PoolID })
  assert.equal(host.journal.subnets.get(unused.Pool), undefined)
  const used = await ipam.requestPool(ask())
  await bind(host, used.Pool)
  await ipam.releasePool({ PoolID: used.PoolID })
  assert.notEqual(host.journal.subnets.get(used.Pool), undefined)
})

test('addresses of a pool that is not held: asking is an error that says what to do, releasing is done already', async () => {
  const { host, ipam } = await hostWithDriver()
  await using _ = host
  for (const PoolID of ['overlay-ts:10.99.0.0/24', 'LocalDefault/172.17.0.0/16']) {
    await assert.rejects(ipam.requestAddress({ PoolID, Address: '', Options: {} }), {
      code: 'not_found',
      message: /remove the network and create it again/,
    })
    await ipam.releaseAddress({ PoolID, Address: '10.99.0.2' })
    await ipam.releasePool({ PoolID })
  }
})

test('without the store no pool is given, and the error says since when', async () => {
  const { host, ipam, store } = await hostWithDriver()
  await using _ = host
  const { PoolID, Pool } = await ipam.requestPool(ask())
  await bind(host, Pool)
  store.setAvailable(false)
  await assert.rejects(ipam.requestPool(ask()), {
    code: 'store_unavailable',
    message: /has not answered since/,
  })
  const { Address } = await ipam.requestAddress({ PoolID, Address: '', Options: {} })
  assert.equal(
    Address,
    Pool.replace('.0/24', '.2/24'),
    'the leased subnet is still ours to give from',
  )
})
