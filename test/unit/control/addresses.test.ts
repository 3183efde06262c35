import assert from 'node:assert/strict'
import { test } from 'node:test'
import { UNCLAIMED_MS } from '../../../src/control/unclaimed-uses.ts'
import { openJournal, type Endpoint } from '../../../src/control/journal.ts'
import { formatIpv4, parseIpv4 } from '../../../src/net/ipv4.ts'
import { MemoryStore } from '../../../src/store/memory.ts'
import { ControlHost, docker, pooled, writeConfig } from './control-host.ts'
import { endpoint, recordingLog } from './control-support.ts'

const WEB = 'w'.repeat(64)

async function cluster(): Promise<{
  host: ControlHost
  store: MemoryStore
  subnet: string
  at: (n: number) => string
}> {
  const store = new MemoryStore()
  await writeConfig(store)
  const host = await ControlHost.start(store, { number: 96 })
  const subnet = await host.createNetwork(WEB, pooled('web'))
  return { host, store, subnet, at: (n) => subnet.replace('.0/24', `.${n}`) }
}

test('a hundred requests at once get a hundred addresses, which a restart remembers', async () => {
  const { host, subnet } = await cluster()
  await using _ = host
  const ips = await Promise.all(
    Array.from({ length: 100 }, () => host.addresses.request(subnet, 'endpoint', null)),
  )
  assert.equal(new Set(ips).size, 100)
  const journal = await openJournal(host.stateDir, recordingLog().log)
  const kept = journal.subnets.get(subnet)!.addresses!.uses.map(({ address }) => address)
  assert.equal(kept.length, 101, 'the gateway is one more')
  assert.deepEqual(
    ips.filter((ip) => !kept.includes(formatIpv4(ip))),
    [],
  )
})

test('one address asked for twice is refused; given back twice is no error', async () => {
  const { host, subnet, at } = await cluster()
  await using _ = host
  const ip = parseIpv4(at(9))
  await host.addresses.request(subnet, 'endpoint', ip)
  await assert.rejects(host.addresses.request(subnet, 'endpoint', ip), { code: 'conflict' })
  await host.addresses.release(subnet, ip)
  await host.addresses.release(subnet, ip)
  await host.addresses.release('10.99.0.0/24', ip)
  assert.equal(await host.addresses.request(subnet, 'endpoint', ip), ip)
})

test("an address of another host's subnet is refused with that host's name", async () => {
  const { host, store, subnet } = await cluster()
  await using _ = host
  await using other = await ControlHost.start(store, { number: 98 })
  const theirs = await other.createNetwork(WEB, pooled('web'))
  await other.publisher.run()
  await host.mirror.refresh()
  const wanted = parseIpv4(theirs.replace('.0/24', '.7'))
  await assert.rejects(host.addresses.request(subnet, 'endpoint', wanted), {
    code: 'bad_input',
    message: /belongs to .* on host host-98; choose an address of this host's subnet/,
  })
})

test('an address that no endpoint came for is taken back after a minute', async () => {
  const { host, subnet, at } = await cluster()
  await using _ = host
  const used = await host.addresses.request(subnet, 'endpoint', parseIpv4(at(5)))
  await host.addresses.request(subnet, 'endpoint', parseIpv4(at(6)))
  await host.addresses.request(subnet, 'reserved', parseIpv4(at(7)))
  await host.journal.endpoints.put('e1', endpoint('e1', WEB, `${formatIpv4(used)}/17`))
  assert.equal(await host.addresses.reclaim(Date.now() + UNCLAIMED_MS - 5000), 0)
  assert.equal(await host.addresses.reclaim(Date.now() + UNCLAIMED_MS + 1), 1)
  const left = host.journal.subnets.get(subnet)!.addresses!.uses.map(({ address }) => address)
  assert.deepEqual(left, [at(1), at(5), at(7)])
})

test('an endpoint that comes as its address is being reclaimed keeps it', async (t) => {
  const { host, subnet, at } = await cluster()
  await using _ = host
  await host.addresses.request(subnet, 'endpoint', parseIpv4(at(5)))
  let has: Endpoint[] = []
  t.mock.method(host.journal.endpoints, 'values', () => has)
  // The reclaim finds none when it is asked for, and gets its turn only after one is there.
  const turn = host.journal.subnets.update(subnet, (mine) => {
    has = [endpoint('e1', WEB, `${at(5)}/17`)]
    return { ...mine }
  })
  const reclaimed = host.addresses.reclaim(Date.now() + UNCLAIMED_MS + 1)
  await turn
  assert.equal(await reclaimed, 0)
})

test('the gateway moves inside the subnet or to an anycast address of the pool, and its old address is free', async () => {
  const { host, subnet, at } = await cluster()
  await using _ = host
  await host.addresses.moveGateway(subnet, parseIpv4(at(254)))
  await host.addresses.moveGateway(subnet, parseIpv4(at(254)))
  assert.equal(host.journal.subnets.get(subnet)?.gateway, at(254))
  await host.addresses.release(subnet, parseIpv4(at(254)))
  await assert.rejects(host.addresses.request(subnet, 'endpoint', parseIpv4(at(254))), {
    code: 'conflict',
  })
  await host.addresses.request(subnet, 'endpoint', parseIpv4(at(1)))

  await host.addresses.moveGateway(subnet, parseIpv4('10.32.0.1'))
  assert.equal(host.journal.subnets.get(subnet)?.gateway, '10.32.0.1')
  await host.addresses.request(subnet, 'endpoint', parseIpv4(at(254)))
})

test("a gateway outside the pool, on a container's address or in another host's subnet is refused", async () => {
  const { host, store, subnet, at } = await cluster()
  await using _ = host
  await using other = await ControlHost.start(store, { number: 98 })
  const theirs = await other.createNetwork(WEB, pooled('web'))
  await host.mirror.refresh()
  await host.addresses.request(subnet, 'endpoint', parseIpv4(at(5)))
  const move = (text: string): Promise<void> => host.addresses.moveGateway(subnet, parseIpv4(text))
  await assert.rejects(move('10.99.0.1'), {
    code: 'bad_input',
    message: /is outside .* or its pool/,
  })
  await assert.rejects(move(at(5)), { code: 'conflict', message: /in use by a container/ })
  await assert.rejects(move(theirs.replace('.0/24', '.1')), {
    code: 'conflict',
    message: /belongs to/,
  })
  assert.equal(host.journal.subnets.get(subnet)?.gateway, at(1))
})

test('addresses of a subnet that Docker manages, or that is not held, are not ours to give', async () => {
  const { host } = await cluster()
  await using _ = host
  const { subnet } = await host.subnets.lease(docker('172.20.0.0/16', 'plain'), null)
  for (const text of [subnet, '10.99.0.0/24']) {
    await assert.rejects(host.addresses.request(text, 'endpoint', null), { code: 'not_found' })
  }
})
