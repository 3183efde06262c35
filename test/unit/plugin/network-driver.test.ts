import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { NetworkDriver } from '../../../plugin/drivers.ts'
import { ADDRESS_SPACE } from '../../../plugin/ipam-driver.ts'
import { createNetworkDriver } from '../../../plugin/network-driver.ts'
import { createNetworkRequest } from '../../../plugin/network-messages.ts'
import { Endpoints } from '../../../src/control/endpoints.ts'
import { Networks } from '../../../src/control/networks.ts'
import { PublishedPorts } from '../../../src/control/published-ports.ts'
import type { SubnetWish } from '../../../src/control/subnet-wish.ts'
import { OWN_PATHS } from '../../../src/linux/host-paths.ts'
import { parseCidr } from '../../../src/net/cidr.ts'
import { MemoryStore } from '../../../src/store/memory.ts'
import { ControlHost, pooled, writeConfig } from '../control/control-host.ts'
import { endpoint, overlay, recordingLog } from '../control/control-support.ts'
import { FACTS } from '../control/fake-facts.ts'
import { keyspace } from '../store/view-support.ts'

const WEB = 'f'.repeat(64)

/** The driver of a host whose network stack is left alone. */
async function hostWithDriver(canLearnNames = true) {
  const store = new MemoryStore()
  await writeConfig(store)
  const host = await ControlHost.start(store, { number: 96 })
  const { journal, subnets, addresses, addresses6, mirror, identity } = host
  const { log } = recordingLog()
  const untouched = async (): Promise<void> => {}
  const networks = new Networks({
    journal,
    subnets,
    reconciler: { run: untouched, attempt: untouched },
    facts: () => FACTS,
    onCreated: () => undefined,
    log,
  })
  const endpoints = new Endpoints({
    journal,
    addresses,
    addresses6,
    hostId: identity.hostId,
    view: () => mirror.view(),
    facts: () => FACTS,
    refusal: (subnet) => subnets.refusal(subnet),
    untilFound: async () => undefined,
    onChange: () => undefined,
    paths: OWN_PATHS,
    log,
  })
  const reconciler = { firstRun: Promise.resolve(), run: untouched, attempt: untouched }
  const ports = new PublishedPorts({ journal, endpoints, reconciler, log })
  const driver = createNetworkDriver({
    controller: { networks, endpoints, ports, subnets, journal, mirror, reconciler },
    canLearnNames: () => canLearnNames,
  })
  return { store, host, driver }
}

interface Asked {
  readonly pool?: string
  readonly space?: string
  readonly gateway?: string
  readonly options?: Readonly<Record<string, string>>
  readonly more?: Readonly<Record<string, unknown>>
}

/** CreateNetwork as dockerd sends it. */
function create(
  driver: NetworkDriver,
  { pool, space, gateway, options, more }: Asked,
): Promise<void> {
  const data = {
    AddressSpace: space ?? 'LocalDefault',
    Pool: pool ?? '172.20.0.0/16',
    Gateway: gateway ?? '172.20.0.1/16',
    AuxAddresses: {},
  }
  const request = {
    NetworkID: WEB,
    Options: { 'com.docker.network.generic': options ?? {} },
    IPv4Data: [data],
    IPv6Data: [],
    ...more,
  }
  return driver.createNetwork(createNetworkRequest.parse(request))
}

test('the driver is local, and its networks reach other hosts', async () => {
  const { host, driver } = await hostWithDriver()
  await using _ = host
  assert.deepEqual(await driver.getCapabilities(), { Scope: 'local', ConnectivityScope: 'global' })
})

test("the subnet that Docker chose is claimed, under Docker's gateway, and waits for its name", async () => {
  const { host, driver } = await hostWithDriver()
  await using _ = host
  await create(driver, {})
  await create(driver, {})
  const held = host.journal.subnets.values()
  assert.equal(held.length, 1, 'asked again, nothing more is claimed')
  assert.deepEqual(
    [held[0]?.subnet, held[0]?.gateway, held[0]?.overlay, held[0]?.networkId],
    ['172.20.0.0/16', '172.20.0.1', null, WEB],
  )
  assert.equal(host.journal.networks.get(WEB)?.ipam, 'docker')
})

test('a network that says its overlay needs no event stream; one that does not is refused without it', async () => {
  const { host, driver } = await hostWithDriver(false)
  await using _ = host
  await assert.rejects(create(driver, {}), {
    code: 'unsupported',
    message: /event stream is not reachable \(DOCKER_HOST\).*-o overlay=NAME NAME/,
  })
  assert.deepEqual(host.journal.subnets.values(), [])
  await create(driver, { options: { overlay: 'web', mtu: '1400' } })
  assert.equal(host.journal.subnets.get('172.20.0.0/16')?.overlay, 'web')
  assert.equal(host.journal.networks.get(WEB)?.mtu, 1400)
})

test('the subnet that our own address management leased is the one the network lives in', async () => {
  const { host, driver } = await hostWithDriver(false)
  await using _ = host
  const { subnet } = await host.subnets.lease(pooled('web'), null)
  await create(driver, { space: ADDRESS_SPACE, pool: subnet, options: { overlay: 'web' } })
  assert.equal(host.journal.subnets.get(subnet)?.networkId, WEB)
  assert.equal(host.journal.networks.get(WEB)?.ipam, 'overlay-ts')
})

test('-o overlay= that contradicts --ipam-opt overlay= is refused, and the subnet stays for Docker to release', async () => {
  const { host, driver } = await hostWithDriver()
  await using _ = host
  const { subnet } = await host.subnets.lease(pooled('web'), null)
  const asked = { space: ADDRESS_SPACE, pool: subnet, options: { overlay: 'app' } }
  await assert.rejects(create(driver, asked), {
    code: 'conflict',
    message: /-o overlay=app contradicts --ipam-opt overlay=web/,
  })
  assert.equal(host.journal.subnets.get(subnet)?.networkId, null)
  await assert.rejects(create(driver, { ...asked, pool: '10.99.0.0/24' }), { code: 'not_found' })
})

test('-o overlay= names a shared pool at once, or says why it cannot', async () => {
  const { store, host, driver } = await hostWithDriver(false)
  await using _ = host
  await store.commit([], [{ put: keyspace.overlay('app'), value: overlay(4099) }])
  const wish: SubnetWish = {
    kind: 'shared-pool',
    pool: parseCidr('10.40.0.0/16'),
    subnetLength: null,
    subnet: null,
  }
  const { subnet } = await host.subnets.lease(wish, null)
  const asked = { space: ADDRESS_SPACE, pool: subnet }
  await assert.rejects(create(driver, { ...asked, options: { overlay: 'app' } }), {
    code: 'conflict',
    message: /the overlay app is routed/,
  })
  await create(driver, { ...asked, options: { overlay: 'web' } })
  assert.equal(host.journal.subnets.get(subnet)?.overlay, 'web')
})

test('an unknown option is refused with those there are, but not for a network that was made with it', async () => {
  const { host, driver } = await hostWithDriver()
  await using _ = host
  const slip = { options: { overlai: 'web', 'com.docker.network.bridge.name': 'x' } }
  await assert.rejects(create(driver, slip), {
    code: 'bad_input',
    message: /no option -o overlai=; did you mean -o overlay=\?/,
  })
  assert.deepEqual(host.journal.subnets.values(), [])
  await create(driver, {})
  await create(driver, slip)
  assert.equal(host.journal.subnets.values().length, 1)
})

test("-o vni= is a named overlay's, from the first network of it on", async () => {
  const { host, driver } = await hostWithDriver()
  await using _ = host
  await assert.rejects(create(driver, { options: { vni: '5000' } }), {
    code: 'bad_input',
    message: /-o vni=5000 needs .*: add -o overlay=NAME$/,
  })
  await create(driver, { options: { overlay: 'app', vni: '5000' } })
  assert.equal(host.journal.subnets.get('172.20.0.0/16')?.vni, 5000)

  const { subnet } = await host.subnets.lease(pooled('web'), null)
  const leased = { space: ADDRESS_SPACE, pool: subnet, more: { NetworkID: 'e'.repeat(64) } }
  await assert.rejects(create(driver, { ...leased, options: { vni: '5001' } }), {
    code: 'conflict',
    message: /-o vni=5001 comes after the overlay web got the VNI 4096; .* --ipam-opt vni=5001/,
  })
  await create(driver, { ...leased, options: { vni: '4096' } })
})

test('-o subnet-len= chooses where the choice is ours, and is refused where it was made before', async () => {
  const { host, driver } = await hostWithDriver()
  await using _ = host
  const options = { 'subnet-len': '26' }
  await assert.rejects(create(driver, { options }), {
    code: 'bad_input',
    message:
      /-o subnet-len=26 comes after .* a \/16; write --subnet, or add --ipam-driver overlay-ts/,
  })
  const { subnet } = await host.subnets.lease(pooled('web'), null)
  const leased = { space: ADDRESS_SPACE, pool: subnet, options }
  await assert.rejects(create(driver, leased), { message: /a \/24; write it as --ipam-opt/ })
  await create(driver, { space: 'null', pool: '0.0.0.0/0', gateway: '', options })
  const own = host.journal.subnets.values().find(({ networkId }) => networkId === WEB)
  assert.match(own!.subnet, /\/26$/)
})

test('only a network that is its own way out, and is not internal, answers Join with its bridge', async () => {
  const gateways: unknown[] = []
  for (const [gateway, internal] of [
    ['docker', false],
    ['bridge', false],
    ['bridge', true],
  ] as const) {
    const { host, driver } = await hostWithDriver()
    await using _ = host
    const Options = {
      'com.docker.network.generic': { gateway },
      'com.docker.network.internal': internal,
    }
    await create(driver, { more: { Options } })
    await host.journal.endpoints.put('e', endpoint('e', WEB, '172.20.0.2/16'))
    const ids = { NetworkID: WEB, EndpointID: 'e' }
    const none = {
      'com.docker.network.portmap': [],
      'com.docker.network.endpoint.exposedports': [],
    }
    const { Gateway, DisableGatewayService } = await driver.join({
      ...ids,
      SandboxKey: '',
      Options: none,
    })
    gateways.push([Gateway, DisableGatewayService])
    const binding = { Proto: 6, IP: '', Port: 80, HostIP: '127.0.0.1', HostPort: 0, HostPortEnd: 0 }
    const asked = { ...none, 'com.docker.network.portmap': [binding] }
    await driver.programExternalConnectivity({ ...ids, Options: asked })
    const isOpen = gateway === 'bridge' && !internal
    assert.equal(host.journal.endpoints.get('e')?.ports.length, isOpen ? 1 : 0)
    await driver.leave(ids)
    assert.deepEqual(host.journal.endpoints.get('e')?.ports, [], 'Revoke may not come')
  }
  assert.deepEqual(gateways, [
    [undefined, undefined],
    ['172.20.0.1', undefined],
    [undefined, true],
  ])
})

test('without any address management the addresses are ours, from the pool of an overlay that has one', async () => {
  const { store, host, driver } = await hostWithDriver()
  await using _ = host
  await store.commit([], [{ put: keyspace.overlay('web'), value: overlay(4099, '10.50.0.0/16') }])
  await host.mirror.refresh()
  const nothing = { space: 'null', pool: '0.0.0.0/0', gateway: '' }
  await create(driver, { ...nothing, options: { overlay: 'web' } })
  const held = host.journal.subnets.values()[0]
  assert.deepEqual([held?.kind, held?.pool, held?.vni], ['pooled', '10.50.0.0/16', 4099])
  assert.equal(host.journal.networks.get(WEB)?.ipam, 'null')
})

test('two subnets of a family and a network of neither family are refused in words', async () => {
  const { host, driver } = await hostWithDriver()
  await using _ = host
  await assert.rejects(create(driver, { more: { IPv4Data: [] } }), { message: /needs IPv4/ })
  const data = { AddressSpace: 'x', Pool: '172.20.0.0/16', Gateway: '', AuxAddresses: {} }
  const two = [{ ...data, Pool: '172.121.0.0/16' }, data]
  await assert.rejects(create(driver, { more: { IPv4Data: two } }), {
    message:
      /one subnet on each host, .* 172\.20\.0\.0\/16 and 172\.121\.0\.0\/16; give one --subnet/,
  })
  // Nobody typed the subnets that are ours.
  const ours = two.map((each) => ({ ...each, AddressSpace: ADDRESS_SPACE }))
  await assert.rejects(create(driver, { more: { IPv4Data: ours } }), {
    message:
      'a network of overlay-ts has one subnet on each host; give one --subnet, and make a second network for another',
  })
  assert.deepEqual(host.journal.subnets.values(), [])
})

test('endpoints of what is not known: joining is an error that says what to do, removing is done already', async () => {
  const { host, driver } = await hostWithDriver()
  await using _ = host
  await assert.rejects(
    driver.join({
      NetworkID: WEB,
      EndpointID: 'e'.repeat(64),
      SandboxKey: '/x',
      Options: {},
    } as never),
    { code: 'not_found', message: /start the container again/ },
  )
  await driver.leave({ NetworkID: WEB, EndpointID: 'e'.repeat(64) })
  await driver.deleteNetwork({ NetworkID: WEB })
})
