import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Networks, type NetworkWish } from '../../../src/control/networks.ts'
import { OverlayError } from '../../../src/errors.ts'
import { MemoryStore } from '../../../src/store/memory.ts'
import { ControlHost, docker, keysOf, routed, writeConfig } from './control-host.ts'
import { endpoint, held, network, recordingLog } from './control-support.ts'
import { FACTS } from './fake-facts.ts'

const WEB = 'w'.repeat(64)
const APP = 'a'.repeat(64)
const wish = (id: string, changes: Partial<NetworkWish> = {}): NetworkWish => ({
  id,
  ipam: 'docker',
  internal: false,
  mtu: null,
  egress: 'docker',
  ...changes,
})

/** A host's networks over a machine that does what it is told, or refuses. */
async function cluster() {
  const store = new MemoryStore()
  await writeConfig(store)
  const host = await ControlHost.start(store, { number: 96 })
  const machine = {
    refuses: false,
    runs: 0,
    run: async (): Promise<void> => {
      machine.runs++
      if (machine.refuses) throw new OverlayError('host_state', 'no bridges today')
    },
    attempt: () => machine.run().catch(() => undefined),
  }
  const { journal, subnets } = host
  const networks = new Networks({
    journal,
    subnets,
    reconciler: machine,
    facts: () => FACTS,
    onCreated: () => undefined,
    log: recordingLog().log,
  })
  return { store, host, networks, machine }
}

const subnetsIn = async (store: MemoryStore): Promise<string[]> =>
  (await keysOf(store)).filter((key) => /^(subnets|holders|overlays)\//.test(key))

test('a network lives in the subnet that was leased for it', async () => {
  const { host, networks } = await cluster()
  await using _ = host
  await networks.create(wish(WEB), () => host.subnets.lease(routed('web'), null))
  const { subnet } = host.journal.networks.get(WEB)!
  assert.equal(host.journal.subnets.get(subnet)?.networkId, WEB)
})

test('asked twice at once for a network, it is made once', async () => {
  const { host, networks } = await cluster()
  await using _ = host
  const lease = () => host.subnets.lease(routed('web'), null)
  await Promise.all([networks.create(wish(WEB), lease), networks.create(wish(WEB), lease)])
  assert.equal(host.journal.subnets.values().length, 1)
})

test('a network that the machine refuses leaves nothing, in the journal or in the store', async () => {
  const { store, host, networks, machine } = await cluster()
  await using _ = host
  machine.refuses = true
  const lease = () => host.subnets.lease(docker('172.20.0.0/16', 'web'), null)
  await assert.rejects(networks.create(wish(WEB), lease), { message: 'no bridges today' })
  assert.deepEqual(host.journal.networks.values(), [])
  assert.deepEqual(host.journal.subnets.values(), [])
  assert.deepEqual(await subnetsIn(store), [])
  machine.refuses = false
  await networks.create(wish(WEB), lease)
})

test("another network's subnet is refused, and stays with that network", async () => {
  const { host, networks } = await cluster()
  await using _ = host
  await networks.create(wish(WEB), () => host.subnets.lease(routed('web'), null))
  const taken = host.journal.subnets.values()[0]!
  await assert.rejects(
    networks.create(wish(APP), async () => taken),
    {
      code: 'conflict',
      message: new RegExp(`belongs to the network ${WEB.slice(0, 12)} already`),
    },
  )
  assert.equal(host.journal.subnets.get(taken.subnet)?.networkId, WEB)
  assert.equal(host.journal.networks.get(APP), undefined)
})

test('a subnet that was given back meanwhile makes no network', async () => {
  const { host, networks } = await cluster()
  await using _ = host
  const creation = networks.create(wish(WEB), async () => {
    const held = await host.subnets.lease(routed('web'), null)
    await host.subnets.giveBack(held.subnet)
    return held
  })
  await assert.rejects(creation, { code: 'not_found', message: /create the network again/ })
  assert.deepEqual(host.journal.networks.values(), [])
})

test('an MTU that no packet has room for, or that the path does not carry, is refused before anything is leased', async () => {
  const { host, networks } = await cluster()
  await using _ = host
  for (const mtu of [500, 1451]) {
    const lease = () => assert.fail('nothing is leased')
    await assert.rejects(networks.create(wish(WEB, { mtu }), lease), {
      code: 'bad_input',
      message: /carries 576 to 1450 bytes/,
    })
  }
  await networks.create(wish(WEB, { mtu: 1450 }), () => host.subnets.lease(routed('web'), null))
})

test('a removed network takes its endpoints, its subnet and its overlay with it, also from a machine that refuses', async () => {
  const { store, host, networks, machine } = await cluster()
  await using _ = host
  await networks.create(wish(WEB), () => host.subnets.lease(routed('web'), null))
  const { subnet } = host.journal.networks.get(WEB)!
  const address = subnet.replace('.0/24', '.2/24')
  await host.journal.endpoints.put('e1', endpoint('e1', WEB, address))
  await host.journal.endpoints.put('e2', endpoint('e2', APP, address))
  machine.refuses = true
  await networks.delete(WEB)
  await networks.delete(WEB)
  assert.deepEqual(host.journal.networks.values(), [])
  assert.deepEqual(host.journal.subnets.values(), [])
  assert.deepEqual(
    host.journal.endpoints.values().map(({ id }) => id),
    ['e2'],
  )
  assert.deepEqual(await subnetsIn(store), [])
})

test("a network's name brings it into its overlay, and a name of nothing is no error", async () => {
  const { host, networks, machine } = await cluster()
  await using _ = host
  await networks.create(wish(WEB), () => host.subnets.lease(docker('172.20.0.0/16'), null))
  const before = machine.runs
  await networks.learnName(WEB, 'web')
  await networks.learnName(APP, 'app')
  assert.equal(host.journal.networks.get(WEB)?.name, 'web')
  assert.equal(host.journal.subnets.get('172.20.0.0/16')?.overlay, 'web')
  assert.equal(machine.runs, before + 1)
})

test('a network that could not be named for lack of the store is named later', async () => {
  const { store, host, networks } = await cluster()
  await using _ = host
  await networks.create(wish(WEB), () => host.subnets.lease(docker('172.20.0.0/16'), null))
  store.setAvailable(false)
  await networks.learnName(WEB, 'web')
  assert.match(host.subnets.refusal('172.20.0.0/16')!.message, /has not answered since/)
  store.setAvailable(true)
  await networks.nameAll()
  assert.equal(host.journal.subnets.get('172.20.0.0/16')?.overlay, 'web')
  assert.equal(host.subnets.refusal('172.20.0.0/16'), null)
})

test('a network that was found again is journaled, unless it was removed meanwhile', async () => {
  const { host, networks, machine } = await cluster()
  await using _ = host
  const { journal } = host
  const mac = '02:00:00:00:00:01'
  const found = (id: string) => {
    const subnet = id === WEB ? '10.33.5.0/24' : '10.33.6.0/24'
    return [network(id, subnet, { bridgeMac: mac }), held(subnet, { networkId: id })] as const
  }
  await networks.delete(APP)
  for (const id of [WEB, APP]) await networks.adopt(...found(id))
  assert.equal(machine.runs, 0, 'not before all are found')
  assert.deepEqual(
    journal.networks.values().map(({ id }) => id),
    [WEB],
  )
  assert.deepEqual(
    journal.subnets.values().map(({ subnet }) => subnet),
    ['10.33.5.0/24'],
  )
  await journal.subnets.delete('10.33.5.0/24')
  await journal.networks.update(WEB, (mine) => ({ ...mine, mtu: 1400, bridgeMac: null }))
  await networks.adopt(...found(WEB))
  const { mtu, bridgeMac } = journal.networks.get(WEB)!
  assert.deepEqual([mtu, bridgeMac], [1400, mac], 'what was not lost is kept')
  assert.ok(journal.subnets.get('10.33.5.0/24'))
})
