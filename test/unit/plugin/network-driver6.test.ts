import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { NetworkDriver } from '../../../plugin/drivers.ts'
import { ADDRESS_SPACE } from '../../../plugin/ipam-driver.ts'
import { createNetworkDriver } from '../../../plugin/network-driver.ts'
import { createNetworkRequest, joinRequest } from '../../../plugin/network-messages.ts'
import { Endpoints } from '../../../src/control/endpoints.ts'
import type { HostFacts } from '../../../src/control/host-facts.ts'
import { Networks } from '../../../src/control/networks.ts'
import { PublishedPorts } from '../../../src/control/published-ports.ts'
import { ANY_SUBNET6 } from '../../../src/control/subnet6-wish.ts'
import { OWN_PATHS } from '../../../src/linux/host-paths.ts'
import { MemoryStore } from '../../../src/store/memory.ts'
import { ControlHost, pooled, routed, writeConfig } from '../control/control-host.ts'
import { endpoint, half, lease, overlay, recordingLog } from '../control/control-support.ts'
import { FACTS } from '../control/fake-facts.ts'
import { keyspace } from '../store/view-support.ts'

const WEB = 'f'.repeat(64)

/** The driver of a host whose network stack is left alone. */
async function hostWithDriver(facts: HostFacts = FACTS) {
  const store = new MemoryStore()
  await writeConfig(store)
  const host = await ControlHost.start(store, { number: 96 })
  const { journal, subnets, addresses, addresses6, mirror, identity } = host
  const { log } = recordingLog()
  const untouched = async (): Promise<void> => {}
  const reconciler = { firstRun: Promise.resolve(), run: untouched, attempt: untouched }
  const networks = new Networks({
    journal,
    subnets,
    reconciler,
    facts: () => facts,
    onCreated: () => undefined,
    log,
  })
  const endpoints = new Endpoints({
    journal,
    addresses,
    addresses6,
    hostId: identity.hostId,
    view: () => mirror.view(),
    facts: () => facts,
    refusal: (subnet) => subnets.refusal(subnet),
    untilFound: async () => undefined,
    onChange: () => undefined,
    paths: OWN_PATHS,
    log,
  })
  const ports = new PublishedPorts({ journal, endpoints, reconciler, log })
  const driver = createNetworkDriver({
    controller: { networks, endpoints, ports, subnets, journal, mirror, reconciler },
    canLearnNames: () => true,
  })
  return { store, host, driver }
}

interface Asked {
  /** Pool and gateway of each family; null where Docker does not give that family. */
  readonly ipv4?: readonly [string, string] | null
  readonly ipv6?: readonly [string, string] | null
  readonly space?: string
  readonly options?: Readonly<Record<string, string>>
}

/** CreateNetwork as dockerd sends it for `--ipv6`, and from Docker 28 on for `--ipv4=false`. */
function create(driver: NetworkDriver, asked: Asked): Promise<void> {
  const { space = 'LocalDefault', options = {} } = asked
  const ipv4 = asked.ipv4 === undefined ? (['172.20.0.0/16', '172.20.0.1/16'] as const) : asked.ipv4
  const ipv6 = asked.ipv6 === undefined ? (['fd00:95::/64', 'fd00:95::1/64'] as const) : asked.ipv6
  const data = (family: readonly [string, string] | null): object[] =>
    family ? [{ AddressSpace: space, Pool: family[0], Gateway: family[1] }] : []
  const request = {
    NetworkID: WEB,
    Options: {
      'com.docker.network.generic': options,
      'com.docker.network.enable_ipv6': ipv6 !== null,
      'com.docker.network.enable_ipv4': ipv4 !== null,
    },
    IPv4Data: data(ipv4),
    IPv6Data: data(ipv6),
  }
  return driver.createNetwork(createNetworkRequest.parse(request))
}

const leases = (host: ControlHost): (string | null | undefined)[][] =>
  host.journal.subnets
    .values()
    .map(({ subnet, ipv6, networkId }) => [subnet, ipv6?.subnet, networkId])

test('the subnets that Docker chose of both families are claimed in one lease, under its gateways', async () => {
  const { host, driver } = await hostWithDriver()
  await using _ = host
  await create(driver, {})
  await create(driver, {})
  assert.deepEqual(leases(host), [['172.20.0.0/16', 'fd00:95::/64', WEB]])
  const [held] = host.journal.subnets.values()
  assert.deepEqual([held?.gateway, held?.ipv6?.gateway], ['172.20.0.1', 'fd00:95::1'])
  assert.equal(held?.ipv6?.addresses, null)
})

test('an IPv6 subnet of Docker’s that another host has is refused, and nothing stays claimed', async () => {
  const { store, host, driver } = await hostWithDriver()
  await using _ = host
  const theirs = lease({ kind: 'docker', ipv6: half('fd00:95::/64') })
  await store.commit(
    [],
    [{ put: `${keyspace.root}subnets/172.21.0.0-16&fd00:95::-64`, value: theirs }],
  )
  await assert.rejects(create(driver, {}), {
    code: 'conflict',
    message: /the IPv6 subnet fd00:95::\/64, .* every host needs one of its own/,
  })
  assert.deepEqual(leases(host), [])
})

test('the halves that our own address management leased belong to one subnet, or the command is to be run again', async () => {
  const { host, driver } = await hostWithDriver()
  await using _ = host
  const first = await host.subnets.lease(routed(null), null, ANY_SUBNET6)
  const second = await host.subnets.lease(routed(null), null, ANY_SUBNET6)
  const asked = (ipv4: string, ipv6: string): Asked => ({
    space: ADDRESS_SPACE,
    ipv4: [ipv4, ''],
    ipv6: [ipv6, ''],
  })
  await assert.rejects(create(driver, asked(first.subnet, second.ipv6!.subnet)), {
    code: 'conflict',
    message: /two networks with IPv6 were made on this host at once, .*; run the command again$/,
  })
  await create(driver, asked(first.subnet, first.ipv6!.subnet))
  assert.deepEqual(leases(host), [
    [first.subnet, first.ipv6!.subnet, WEB],
    [second.subnet, second.ipv6!.subnet, null],
  ])
})

test('a network without IPv6 does not keep a half that a network of IPv6 alone took in between', async () => {
  const { host, driver } = await hostWithDriver()
  await using _ = host
  const { subnet } = await host.subnets.lease(pooled('web'), null)
  const taken = await host.subnets.lease6(pooled('web'), ANY_SUBNET6)
  assert.equal(taken.subnet, subnet)
  await create(driver, { space: ADDRESS_SPACE, ipv4: [subnet, ''], ipv6: null })
  assert.deepEqual(leases(host), [[subnet, undefined, WEB]])
  const alone = { space: ADDRESS_SPACE, ipv4: null, ipv6: [taken.ipv6!.subnet, ''] } as const
  const other = { ...alone, options: {} }
  await host.journal.networks.delete(WEB)
  await assert.rejects(create(driver, other), { code: 'not_found', message: /create the network/ })
})

test('a network of IPv6 alone is known by an IPv4 subnet of ours, with our IPAM and with Docker’s', async () => {
  const { host, driver } = await hostWithDriver()
  await using _ = host
  const { subnet, ipv6 } = await host.subnets.lease6(pooled('web'), ANY_SUBNET6)
  await create(driver, { space: ADDRESS_SPACE, ipv4: null, ipv6: [ipv6!.subnet, ''] })
  assert.deepEqual(
    [host.journal.networks.get(WEB)?.subnet, host.journal.networks.get(WEB)?.ipv4],
    [subnet, false],
  )
  await driver.deleteNetwork({ NetworkID: WEB })
  await create(driver, { ipv4: null, options: { overlay: 'plain' } })
  const [held] = host.journal.subnets.values()
  assert.deepEqual([held?.kind, held?.ipv6?.subnet], ['routed', 'fd00:95::/64'])
  assert.ok(held?.addresses, 'the IPv4 addresses are ours')
})

test('IPv6 is refused where packets are too small for it, two IPv6 subnets, and a way out that has no address', async () => {
  const narrow = await hostWithDriver({ ...FACTS, overlayMtu: 1230 })
  await using _narrow = narrow.host
  await assert.rejects(create(narrow.driver, {}), {
    code: 'bad_input',
    message: /^IPv6 needs packets of 1280 bytes or more .* would carry 1230, of 1230 that/,
  })
  await create(narrow.driver, { ipv6: null })
  const { host, driver } = await hostWithDriver()
  await using _ = host
  await assert.rejects(create(driver, { options: { mtu: '1279' } }), {
    code: 'bad_input',
    message: /this network would carry 1279, of 1450 that/,
  })
  await assert.rejects(create(driver, { ipv4: null, options: { gateway: 'bridge' } }), {
    code: 'unsupported',
    message: /-o gateway=bridge leads out by IPv4 alone/,
  })
  const data = { AddressSpace: 'x', Pool: 'fd00:95::/64', Gateway: '' }
  const two = createNetworkRequest.parse({
    NetworkID: WEB,
    Options: { 'com.docker.network.enable_ipv6': true },
    IPv4Data: [{ AddressSpace: 'x', Pool: '172.20.0.0/16', Gateway: '' }],
    IPv6Data: [data, { ...data, Pool: 'fd00:96::/64' }],
  })
  await assert.rejects(driver.createNetwork(two), {
    message: /asks for fd00:95::\/64 and fd00:96::\/64; give one IPv6 --subnet/,
  })
  assert.deepEqual(leases(host), [])
  await create(driver, { options: { mtu: '1280' } })
})

test('Join routes each family by the bridge’s address of that family, and gives no gateway', async () => {
  const { store, host, driver } = await hostWithDriver()
  await using _ = host
  await store.commit(
    [],
    [
      { put: keyspace.overlay('web'), value: overlay(4096) },
      {
        put: `${keyspace.root}subnets/172.21.0.0-16&fd00:21::-64`,
        value: lease({ kind: 'docker', ipv6: half('fd00:21::/64') }),
      },
    ],
  )
  await create(driver, { options: { overlay: 'web' } })
  await host.mirror.refresh()
  const address6 = 'fd00:95::2/64'
  await host.journal.endpoints.put('e', endpoint('e', WEB, '172.20.0.2/16', { address6 }))
  await host.journal.endpoints.put('f', endpoint('f', WEB, '172.20.0.3/16'))
  const join = (EndpointID: string) =>
    driver.join(joinRequest.parse({ NetworkID: WEB, EndpointID, SandboxKey: '' }))
  const ipv4 = { Destination: '172.21.0.0/16', RouteType: 0, NextHop: '172.20.0.1' } as const
  const ipv6 = { Destination: 'fd00:21::/64', RouteType: 0, NextHop: 'fd00:95::1' } as const
  const { StaticRoutes, Gateway, GatewayIPv6 } = await join('e')
  assert.deepEqual([StaticRoutes, Gateway, GatewayIPv6], [[ipv4, ipv6], undefined, undefined])
  assert.deepEqual((await join('f')).StaticRoutes, [ipv4], 'a container without an IPv6 address')
  assert.deepEqual(host.journal.endpoints.get('e')?.joinedRoutes, ['172.21.0.0/16', 'fd00:21::/64'])
})
