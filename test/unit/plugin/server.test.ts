import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect } from 'node:net'
import { test } from 'node:test'
import type {
  CreateEndpointRequest,
  CreateNetworkRequest,
} from '../../../plugin/network-messages.ts'
import { OverlayError } from '../../../src/errors.ts'
import { startScriptedPlugin } from '../../support/scripted-plugin.ts'

/** What ends a hang; how soon something happens is not judged. */
const PATIENCE = { timeout: 30_000 }

const NETWORK = 'aff2'.repeat(16)
const ENDPOINT = '27c3'.repeat(16)

test('activation names both drivers', async (t) => {
  const { client } = await startScriptedPlugin(t)
  const reply = await client.call('Plugin.Activate')
  assert.equal(reply.status, 200)
  assert.equal(reply.type, 'application/vnd.docker.plugins.v1.2+json')
  assert.deepEqual(reply.json, { Implements: ['NetworkDriver', 'IpamDriver'] })
})

test('every method without arguments takes the empty body that dockerd sends', async (t) => {
  const { client } = await startScriptedPlugin(t)
  for (const method of [
    'Plugin.Activate',
    'NetworkDriver.GetCapabilities',
    'IpamDriver.GetCapabilities',
    'IpamDriver.GetDefaultAddressSpaces',
  ]) {
    assert.equal((await client.call(method)).status, 200, method)
  }
})

test('every method with arguments exists and answers a JSON object', async (t) => {
  const { client } = await startScriptedPlugin(t)
  const endpoint = { NetworkID: NETWORK, EndpointID: ENDPOINT }
  const requests: Record<string, object> = {
    'NetworkDriver.GwAllocCheck': { Options: {} },
    'NetworkDriver.AllocateNetwork': { NetworkID: NETWORK, Options: { a: 'b' }, IPv6Data: null },
    'NetworkDriver.FreeNetwork': { NetworkID: NETWORK },
    'NetworkDriver.CreateNetwork': { NetworkID: NETWORK, Options: null },
    'NetworkDriver.DeleteNetwork': { NetworkID: NETWORK },
    'NetworkDriver.CreateEndpoint': { ...endpoint, Interface: null, Options: null },
    'NetworkDriver.DeleteEndpoint': endpoint,
    'NetworkDriver.EndpointOperInfo': endpoint,
    'NetworkDriver.Join': { ...endpoint, SandboxKey: '/run/docker/netns/1', Options: null },
    'NetworkDriver.Leave': endpoint,
    'NetworkDriver.ProgramExternalConnectivity': { ...endpoint, Options: null },
    'NetworkDriver.RevokeExternalConnectivity': endpoint,
    'NetworkDriver.DiscoverNew': { DiscoveryType: 1, DiscoveryData: { Address: '192.0.2.2' } },
    'NetworkDriver.DiscoverDelete': { DiscoveryType: 1, DiscoveryData: null },
    'IpamDriver.RequestPool': {
      AddressSpace: 'x',
      Pool: '',
      SubPool: '',
      Options: null,
      V6: false,
    },
    'IpamDriver.ReleasePool': { PoolID: 'p' },
    'IpamDriver.RequestAddress': { PoolID: 'p', Address: '', Options: null },
    'IpamDriver.ReleaseAddress': { PoolID: 'p', Address: '10.33.5.2' },
  }
  for (const [method, body] of Object.entries(requests)) {
    const reply = await client.call(method, body)
    assert.equal(reply.status, 200, `${method}: ${reply.body}`)
    assert.match(reply.body, /^\{/, method)
  }
})

test('nulls of Go become empty values and unknown keys pass', async (t) => {
  const seen: (CreateNetworkRequest | CreateEndpointRequest)[] = []
  const { client } = await startScriptedPlugin(t, {
    network: {
      createNetwork: async (request) => void seen.push(request),
      createEndpoint: async (request) => (seen.push(request), {}),
    },
  })
  await client.call('NetworkDriver.CreateNetwork', {
    NetworkID: NETWORK,
    Options: { 'com.docker.network.generic': { mtu: '1400' }, 'com.example.future': [1] },
    IPv4Data: [{ AddressSpace: 'null', Pool: '0.0.0.0/0' }],
    IPv6Data: null,
    Future: true,
  })
  await client.call('NetworkDriver.CreateEndpoint', {
    NetworkID: NETWORK,
    EndpointID: ENDPOINT,
    Interface: { Address: '10.33.5.2/17' },
    Options: {
      'com.docker.network.portmap': [{ Proto: 6, IP: '', Port: 80, HostIP: '', HostPort: 8080 }],
      k1: 'v1',
    },
  })
  assert.deepEqual(seen, [
    {
      NetworkID: NETWORK,
      Options: {
        'com.docker.network.generic': { mtu: '1400' },
        'com.docker.network.internal': false,
        'com.docker.network.enable_ipv6': false,
        'com.docker.network.enable_ipv4': true,
        'com.example.future': [1],
      },
      IPv4Data: [{ AddressSpace: 'null', Pool: '0.0.0.0/0', Gateway: '', AuxAddresses: {} }],
      IPv6Data: [],
    },
    {
      NetworkID: NETWORK,
      EndpointID: ENDPOINT,
      Interface: { Address: '10.33.5.2/17', AddressIPv6: '', MacAddress: '' },
      Options: {
        'com.docker.network.portmap': [
          { Proto: 6, IP: '', Port: 80, HostIP: '', HostPort: 8080, HostPortEnd: 0 },
        ],
        'com.docker.network.endpoint.exposedports': [],
        k1: 'v1',
      },
    },
  ])
})

test('a wrong type is refused with the method, the field and what was found', async (t) => {
  const { client } = await startScriptedPlugin(t)
  const cases: [method: string, body: unknown, sentence: string][] = [
    [
      'NetworkDriver.Join',
      { NetworkID: NETWORK, SandboxKey: 7 },
      'NetworkDriver.Join: EndpointID wants a string, found nothing; SandboxKey wants a string, found 7',
    ],
    [
      'NetworkDriver.Leave',
      { NetworkID: '../../etc', EndpointID: ENDPOINT },
      'NetworkDriver.Leave: NetworkID must be letters, digits, "_" and "-", found "../../etc"',
    ],
    [
      'NetworkDriver.CreateNetwork',
      { NetworkID: NETWORK, IPv4Data: [{ Pool: 5 }] },
      'NetworkDriver.CreateNetwork: IPv4Data.0.Pool wants a string, found 5',
    ],
    [
      'NetworkDriver.CreateNetwork',
      { NetworkID: NETWORK, Options: { 'com.docker.network.internal': 'yes' } },
      'NetworkDriver.CreateNetwork: Options.com.docker.network.internal wants a boolean, found "yes"',
    ],
    [
      'IpamDriver.RequestAddress',
      { PoolID: '', Address: '' },
      'IpamDriver.RequestAddress: PoolID must not be empty, found ""',
    ],
    ['IpamDriver.RequestPool', [], 'IpamDriver.RequestPool: the request wants an object, found []'],
  ]
  for (const [method, body, sentence] of cases) {
    const reply = await client.call(method, body)
    assert.equal(reply.status, 500)
    assert.deepEqual(reply.json, { Err: sentence, Error: sentence })
  }
})

test('a repeated call that lost its body is told so, and malformed JSON is shown', async (t) => {
  const { client } = await startScriptedPlugin(t)
  const empty = await client.call('NetworkDriver.CreateEndpoint')
  assert.equal(empty.status, 500)
  assert.match(
    String(empty.json['Err']),
    /^NetworkDriver\.CreateEndpoint came without its arguments/,
  )
  const broken = await client.call('IpamDriver.RequestPool', undefined, { raw: '{"Pool":' })
  assert.equal(broken.status, 500)
  assert.match(String(broken.json['Error']), /wants a JSON object, found "\{\\"Pool\\":"/)
})

test('an unknown method is a 404 in JSON', async (t) => {
  const { client } = await startScriptedPlugin(t)
  for (const reply of [
    await client.call('NetworkDriver.Teleport', {}),
    await client.call('NetworkDriver.Join/x', {}),
    await client.call('networkdriver.getcapabilities'),
    await client.call('Plugin.Activate', undefined, { httpMethod: 'GET' }),
  ]) {
    assert.equal(reply.status, 404)
    assert.equal(typeof reply.json['Err'], 'string')
    assert.equal(reply.json['Err'], reply.json['Error'])
  }
})

test('a body beyond the limit is refused and the next call works', async (t) => {
  const { client } = await startScriptedPlugin(t)
  const reply = await client.call('IpamDriver.RequestPool', { Pool: 'x'.repeat(5_000_000) })
  assert.equal(reply.status, 500)
  assert.match(String(reply.json['Err']), /^IpamDriver\.RequestPool could not be read: .*too large/)
  assert.equal((await client.call('Plugin.Activate')).status, 200)
})

test('any Host header will do', async (t) => {
  const { client } = await startScriptedPlugin(t)
  for (const host of ['', 'plugin.moby.localhost', 'evil.example']) {
    assert.equal((await client.call('Plugin.Activate', undefined, { host })).status, 200)
  }
})

test("a driver's refusal is a 500 with its sentence under both names, and is logged with its code", async (t) => {
  const { client, lines } = await startScriptedPlugin(t, {
    ipam: {
      requestPool: async () => {
        throw new OverlayError('not_found', 'no such pool')
      },
      releasePool: async () => {
        throw new TypeError('a defect')
      },
    },
  })
  const refused = await client.call('IpamDriver.RequestPool', { Pool: '' })
  assert.equal(refused.status, 500)
  assert.deepEqual(refused.json, { Err: 'no such pool', Error: 'no such pool' })
  const failed = await client.call('IpamDriver.ReleasePool', { PoolID: 'p' })
  assert.deepEqual(failed.json, { Err: 'a defect', Error: 'a defect' })
  const [first, second] = lines
  assert.equal(first?.['level'], 40)
  assert.equal(first?.['code'], 'not_found')
  assert.equal(first?.['method'], 'IpamDriver.RequestPool')
  assert.equal(second?.['level'], 50)
})

test('each call is one line of the debug log with its duration', async (t) => {
  const { client, lines } = await startScriptedPlugin(t)
  await client.call('Plugin.Activate')
  assert.equal(lines.length, 1)
  assert.equal(lines[0]?.['level'], 20)
  assert.equal(typeof lines[0]?.['ms'], 'number')
})

test('one connection serves many calls', async (t) => {
  const { client } = await startScriptedPlugin(t)
  for (let i = 0; i < 20; i += 1) await client.call('Plugin.Activate')
  assert.equal(client.connections, 1)
})

test('an idle connection is never closed by the server', async (t) => {
  const { socketPath } = await startScriptedPlugin(t)
  const idle = connect(socketPath)
  t.after(() => idle.destroy())
  await once(idle, 'connect')
  const ask = async (): Promise<string> => {
    idle.write('POST /Plugin.Activate HTTP/1.1\r\nHost: \r\nContent-Length: 0\r\n\r\n')
    const [bytes] = await once(idle, 'data')
    return String(bytes)
  }
  const first = await ask()
  assert.match(first, /^HTTP\/1\.1 200 /)
  // With a keep-alive limit the server announces it, and Node's own is five seconds.
  assert.doesNotMatch(first, /keep-alive: timeout/i)
  assert.match(await ask(), /^HTTP\/1\.1 200 /)
})

test('calls run side by side', async (t) => {
  const bothRun = Promise.withResolvers<void>()
  let running = 0
  const { client } = await startScriptedPlugin(t, {
    network: {
      leave: async () => {
        running += 1
        if (running === 2) bothRun.resolve()
        await bothRun.promise
      },
    },
  })
  const body = { NetworkID: NETWORK, EndpointID: ENDPOINT }
  const replies = await Promise.all([
    client.call('NetworkDriver.Leave', body),
    client.call('NetworkDriver.Leave', body),
  ])
  assert.deepEqual(
    replies.map((reply) => reply.status),
    [200, 200],
  )
})

test('a call past its deadline fails with a sentence while its handler runs on', async (t) => {
  const finish = Promise.withResolvers<void>()
  const { client, app, lines } = await startScriptedPlugin(t, {
    network: { deleteNetwork: () => finish.promise },
    callDeadlineMs: 30,
  })
  const reply = await client.call('NetworkDriver.DeleteNetwork', { NetworkID: NETWORK })
  assert.equal(reply.status, 500)
  assert.match(
    String(reply.json['Err']),
    /^NetworkDriver\.DeleteNetwork was not done within 0\.03 s/,
  )
  assert.equal(app.inFlight(), 1)
  finish.resolve()
  await t.waitFor(() => assert.equal(app.inFlight(), 0), PATIENCE)
  assert.ok(lines.some((line) => line['msg'] === 'call finished after its deadline'))
})
