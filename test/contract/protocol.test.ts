import assert from 'node:assert/strict'
import { test, type TestContext } from 'node:test'
import { playConversation } from '../support/libnetwork-conversation.ts'
import { startScriptedPlugin, type ScriptedPluginOptions } from '../support/scripted-plugin.ts'
import { CONVERSATIONS, protocolDifferences } from './protocol-conversations.ts'

async function differenceOf(
  t: TestContext,
  name: string,
  own: ScriptedPluginOptions,
): Promise<string> {
  const conversation = CONVERSATIONS.get(name)
  assert.ok(conversation)
  const difference = await playConversation(
    conversation,
    (await startScriptedPlugin(t, own)).socketPath,
  )
  assert.ok(difference !== null)
  return difference
}

test('a server whose drivers answer well holds every recorded conversation', async (t) => {
  assert.ok(CONVERSATIONS.size >= 11)
  assert.deepEqual(await protocolDifferences((await startScriptedPlugin(t)).socketPath), [])
})

test('the conversations are those of 20.10, 28 and 29, and hold every method but those of swarm', () => {
  const all = [...CONVERSATIONS.values()]
  assert.deepEqual(
    [...new Set(all.map(({ docker }) => docker.slice(0, docker.indexOf('.'))))].toSorted(),
    ['20', '28', '29'],
  )
  const called = new Set(
    all.flatMap(({ commands }) => commands.flatMap(({ calls }) => calls.map(({ call }) => call))),
  )
  assert.deepEqual([...called].toSorted(), [
    'IpamDriver.GetCapabilities',
    'IpamDriver.GetDefaultAddressSpaces',
    'IpamDriver.ReleaseAddress',
    'IpamDriver.ReleasePool',
    'IpamDriver.RequestAddress',
    'IpamDriver.RequestPool',
    'NetworkDriver.CreateEndpoint',
    'NetworkDriver.CreateNetwork',
    'NetworkDriver.DeleteEndpoint',
    'NetworkDriver.DeleteNetwork',
    'NetworkDriver.EndpointOperInfo',
    'NetworkDriver.GetCapabilities',
    'NetworkDriver.GwAllocCheck',
    'NetworkDriver.Join',
    'NetworkDriver.Leave',
    'NetworkDriver.ProgramExternalConnectivity',
    'NetworkDriver.RevokeExternalConnectivity',
    'Plugin.Activate',
  ])
})

test('networks are told by the name that their command gives', async (t) => {
  const told: string[] = []
  await protocolDifferences((await startScriptedPlugin(t)).socketPath, (id, name) => {
    assert.match(id, /^[0-9a-f]{64}$/)
    told.push(name)
  })
  assert.deepEqual([...new Set(told)].toSorted(), ['app', 'inner', 'nul', 'plain', 'shared', 'web'])
})

test('a repeated address that was given already is a difference', async (t) => {
  const repeat: ScriptedPluginOptions['network'] = {
    createEndpoint: async ({ Interface }) => ({
      Interface: { MacAddress: '02:42:0a:21:05:02', Address: Interface.Address },
    }),
  }
  assert.equal(
    await differenceOf(t, 'docker-20.10-docker-ipam', { network: repeat }),
    'docker run -d --name p1 --network plain IMAGE: NetworkDriver.CreateEndpoint (call 2): ' +
      'Interface.Address: wanted nothing, found "172.20.0.2/16"',
  )
})

test('a missing field, a wrong kind, another value and an error are differences', async (t) => {
  const cases: [ScriptedPluginOptions, RegExp][] = [
    [
      { network: { createEndpoint: async () => ({}) } },
      /CreateEndpoint \(call 8\): Interface: wanted \{.*\}, found nothing$/,
    ],
    [
      { ipam: { requestAddress: async () => ({ Address: '10.33.5.2' }) } },
      /RequestAddress \(call 7\): Address: wanted a value of kind address, found "10\.33\.5\.2"$/,
    ],
    [
      {
        network: {
          getCapabilities: async () => ({ Scope: 'global', ConnectivityScope: 'global' }),
        },
      },
      /GetCapabilities \(call 2\): Scope: wanted "local", found "global"$/,
    ],
    [
      { network: { join: () => Promise.reject(new Error('no veth')) } },
      /Join \(call 9\): wanted an answer, found status 500: .*no veth/,
    ],
  ]
  for (const [own, sentence] of cases) {
    assert.match(await differenceOf(t, 'docker-20.10-pooled', own), sentence)
  }
})

test('a second answer that differs from the first is a difference', async (t) => {
  let made = 0
  const fickle: ScriptedPluginOptions['network'] = {
    createEndpoint: async () => ({ Interface: { MacAddress: `02:42:0a:21:05:0${(made += 1)}` } }),
  }
  assert.match(
    await differenceOf(t, 'docker-20.10-retries', { network: fickle }),
    /CreateEndpoint .*Interface\.MacAddress: wanted "02:42:0a:21:05:01", found "02:42:0a:21:05:02"$/,
  )
})
