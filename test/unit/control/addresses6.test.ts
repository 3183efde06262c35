import assert from 'node:assert/strict'
import { test } from 'node:test'
import { openJournal, type HeldSubnet } from '../../../src/control/journal.ts'
import { ANY_SUBNET6 } from '../../../src/control/subnet6-wish.ts'
import { UNCLAIMED_MS } from '../../../src/control/unclaimed-uses.ts'
import { formatIpv6, parseIpv6 } from '../../../src/net/ipv6.ts'
import { MemoryStore } from '../../../src/store/memory.ts'
import { ControlHost, pooled, writeConfig } from './control-host.ts'
import { endpoint, recordingLog } from './control-support.ts'

const WEB = 'w'.repeat(64)

async function cluster() {
  const store = new MemoryStore()
  await writeConfig(store)
  const host = await ControlHost.start(store, { number: 96 })
  const held = await host.subnets.lease(pooled('web'), null, ANY_SUBNET6)
  const at = (tail: string): string => held.ipv6!.subnet.replace(/::\/64$/, `::${tail}`)
  return { store, host, held, at, subnet: held.subnet }
}

const usesOf = (held: HeldSubnet | undefined): string[] =>
  (held?.ipv6?.addresses?.uses ?? []).map(({ address, purpose }) => `${purpose} ${address}`)

test('addresses ascend from ::2, the gateway being ::1, and a restart remembers them', async () => {
  const { host, subnet, held, at } = await cluster()
  await using _ = host
  assert.equal(held.ipv6!.gateway, at('1'))
  const ips = [
    await host.addresses6.request(subnet, 'endpoint', null),
    await host.addresses6.request(subnet, 'endpoint', null),
  ]
  assert.deepEqual(ips.map(formatIpv6), [at('2'), at('3')])
  const journal = await openJournal(host.stateDir, recordingLog().log)
  assert.deepEqual(usesOf(journal.subnets.get(subnet)), [
    `gateway ${at('1')}`,
    `endpoint ${at('2')}`,
    `endpoint ${at('3')}`,
  ])
})

test('one address asked for twice is refused; given back twice is no error; the gateway stays', async () => {
  const { host, subnet, at } = await cluster()
  await using _ = host
  const ip = parseIpv6(at('abcd:0:9'))
  await host.addresses6.request(subnet, 'endpoint', ip)
  await assert.rejects(host.addresses6.request(subnet, 'endpoint', ip), { code: 'conflict' })
  await host.addresses6.release(subnet, ip)
  await host.addresses6.release(subnet, ip)
  await host.addresses6.release(subnet, parseIpv6(at('1')))
  await host.addresses6.release('10.99.0.0/24', ip)
  assert.deepEqual(usesOf(host.journal.subnets.get(subnet)), [`gateway ${at('1')}`])
})

test("an address of another host's subnet is refused with that host's name, as one that --ip6 names", async () => {
  const { store, host, subnet } = await cluster()
  await using _ = host
  await using other = await ControlHost.start(store, { number: 98 })
  await other.publisher.run()
  const theirs = (await other.subnets.lease(pooled('web'), null, ANY_SUBNET6)).ipv6!.subnet
  await host.mirror.refresh()
  const wanted = theirs.replace(/::\/64$/, '::7')
  await assert.rejects(host.addresses6.request(subnet, 'endpoint', parseIpv6(wanted)), {
    code: 'bad_input',
    message: `${wanted} is not in ${host.journal.subnets.get(subnet)!.ipv6!.subnet}, the IPv6 subnet of this host; it belongs to ${theirs} on host host-98; choose an address of this host's subnet, or run the container where its address lives`,
  })
})

test('--gateway moves the bridge within this host’s subnet and nowhere else', async () => {
  const { host, subnet, at } = await cluster()
  await using _ = host
  await host.addresses6.moveGateway(subnet, parseIpv6(at('ff')))
  assert.equal(host.journal.subnets.get(subnet)!.ipv6!.gateway, at('ff'))
  assert.equal(
    formatIpv6(await host.addresses6.request(subnet, 'endpoint', null)),
    at('2'),
    'the old gateway was used before, and comes back last',
  )
  await assert.rejects(host.addresses6.moveGateway(subnet, parseIpv6('fd00:99::1')), {
    code: 'bad_input',
    message: /^--gateway fd00:99::1 is outside .*each host's bridge has an address of its own/,
  })
})

test('what was given out and never used is taken back, and what a container has is not', async () => {
  const { host, subnet, at } = await cluster()
  await using _ = host
  for (const tail of ['2', '3']) {
    await host.addresses6.request(subnet, 'endpoint', parseIpv6(at(tail)))
  }
  const used = endpoint('e', WEB, '10.32.1.2/17', { address6: `${at('2')}/64` })
  await host.journal.endpoints.put('e', used)
  assert.equal(await host.addresses6.reclaim(Date.now() + UNCLAIMED_MS - 5000), 0)
  assert.equal(await host.addresses6.reclaim(Date.now() + UNCLAIMED_MS + 1), 1)
  assert.deepEqual(usesOf(host.journal.subnets.get(subnet)), [
    `gateway ${at('1')}`,
    `endpoint ${at('2')}`,
  ])
})

test('a subnet without IPv6 has no such addresses to give', async () => {
  const { host } = await cluster()
  await using _ = host
  const { subnet } = await host.subnets.lease(pooled('web'), null)
  await assert.rejects(host.addresses6.request(subnet, 'endpoint', null), { code: 'not_found' })
})
