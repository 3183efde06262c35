import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { argv } from '../../lab/argv.ts'
import type { DockerHost } from '../../lab/docker-host.ts'
import { imageArchive } from '../../lab/image.ts'
import { Lab } from '../../lab/lab.ts'
import { CONVERSATIONS } from '../contract/protocol-conversations.ts'
import { FakeDocker } from '../support/fake-docker.ts'
import { explainFailure, withLab } from '../support/lab.ts'
import { playConversation } from '../support/libnetwork-conversation.ts'
import { LibnetworkRecorder } from '../support/record-libnetwork.ts'
import { UnixClient } from '../support/unix-client.ts'
import { eventually, waitFor } from '../support/wait.ts'

/** The real plugin with a real etcd on a machine of its own; dockerd's part is played. */
describe('the plugin, spoken to as dockerd spoke when it was recorded', () => {
  let lab: Lab
  let host: DockerHost
  let docker: FakeDocker
  const inLab = (sentence: string, body: () => Promise<void>): void => {
    test(sentence, () => explainFailure(lab, body))
  }

  before(async () => {
    lab = await Lab.create({ hosts: [] })
    host = await lab.addHost('96', { docker: false })
    docker = new FakeDocker(host.socket)
    await docker.start()
    await host.startPlugin()
    await explainFailure(lab, async () => {
      await waitFor(() => docker.subscribers > 0, { what: 'the event stream', timeout: 30_000 })
      await waitFor(async () => (await leases()) !== null, { what: 'etcd', timeout: 30_000 })
    })
  })
  after(async () => {
    await docker?.stop()
    await lab.remove()
  })

  /** Subnets leased, or null before the plugin has met etcd. */
  async function leases(): Promise<string[] | null> {
    const lines = (await lab.etcdText('/overlay-ts/')).split('\n')
    if (!lines.some((line) => line.startsWith('/overlay-ts/hosts/'))) return null
    return lines.filter((line) => /^\/overlay-ts\/(subnets|holders|endpoints)\//.test(line))
  }

  for (const [name, conversation] of CONVERSATIONS) {
    inLab(`answers ${name}: ${conversation.about}`, async () => {
      const difference = await playConversation(conversation, host.pluginSocket, (id, called) =>
        docker.create(id, called),
      )
      assert.equal(difference, null)
      docker.networks.clear()
      // Every conversation ends with the removal of what it made.
      await eventually(
        async () => {
          assert.doesNotMatch(await host.exec('ip', '-br', 'link'), /^ov-/m)
          assert.deepEqual(await leases(), [])
        },
        { what: 'the last of it to be gone', timeout: 30_000 },
      )
    })
  }

  inLab('publishes a port in the one network that has the gateway priority', async () => {
    const conversation = CONVERSATIONS.get('docker-29-gw-priority')
    assert.ok(conversation)
    const seen: string[] = []
    const difference = await playConversation(
      conversation,
      host.pluginSocket,
      (id, called) => docker.create(id, called),
      async (command) => {
        seen.push(`${command.split(' ').slice(1, 3).join(' ')}: ${(await publishers()).join(' ')}`)
      },
    )
    assert.equal(difference, null)
    docker.networks.clear()
    assert.deepEqual(seen, [
      'network create: ',
      'network create: ',
      'run -d: app',
      'network connect: web',
      'network disconnect: app',
      'stop -t: ',
      'network rm: ',
      'network rm: ',
    ])
  })

  /** The networks to whose containers the kernel hands what comes to port 8080, by their own bridges. */
  async function publishers(): Promise<(string | undefined)[]> {
    const { endpoints } = JSON.parse(await host.admin('/v1/state')) as {
      endpoints: { networkId: string; address: string }[]
    }
    const rules = await host.exec('nft', 'list', 'ruleset')
    return [...rules.matchAll(/tcp dport 8080 dnat ip to ([\d.]+):80$/gm)].map(([, address]) => {
      assert.match(rules, new RegExp(`oifname "ov-b.*" .*daddr ${address} tcp dport 80 accept`))
      const endpoint = endpoints.find((each) => each.address.startsWith(`${address}/`))
      return docker.networks.get(endpoint?.networkId ?? '')?.Name
    })
  }

  inLab('knows every method of the protocol, also without a body', async () => {
    using client = new UnixClient(host.pluginSocket)
    for (const method of METHODS) {
      const { status, json } = await client.call(method)
      if (status === 200) continue
      assert.equal(status, 500, method)
      assert.equal(json['Err'], json['Error'], method)
      assert.match(String(json['Err']), /came without its arguments/, method)
    }
  })
})

test('a real dockerd makes the calls that were recorded, with the same arguments', () =>
  withLab({ hosts: [] }, async (lab) => {
    const host = await lab.addHost('96', { docker: false })
    const env = { SOCKET: '/run/docker/behind.sock' }
    await using recorder = await LibnetworkRecorder.start(
      host.pluginSocket,
      host.machine.path('run', 'docker', 'behind.sock'),
    )
    await host.startPlugin({ env })
    await host.startDocker()
    await host.importImage(await imageArchive())
    recorder.calls.splice(0)
    const ipam = argv`--ipam-driver overlay-ts --ipam-opt overlay=web -o mtu=1400`
    await host.docker('network', 'create', '-d', 'overlay-ts', ...ipam, 'web')
    const plain = await host.run('plain', { network: 'web' })
    await plain.remove()
    await host.docker('network', 'rm', 'web')

    const { calls } = recorder
    assert.deepEqual([...new Set(calls.map(({ status }) => status))], [200])
    // What every Docker does, whatever it asks besides.
    const known = ['RequestPool', 'CreateNetwork', 'RequestAddress', 'CreateEndpoint', 'Join']
    const undone = ['Leave', 'DeleteEndpoint', 'ReleaseAddress', 'ReleasePool', 'DeleteNetwork']
    const order = calls.map(({ call }) => call.split('.')[1]!)
    const first = [...known, ...undone].map((method) => order.indexOf(method))
    assert.deepEqual(
      first,
      first.toSorted((a, b) => a - b),
      order.join(', '),
    )
    assert.ok(!first.includes(-1), order.join(', '))

    const version = await host.docker('version', '-f', '{{.Server.Version}}')
    const release = version.split('.')[0]!
    for (const [, { docker, commands }] of CONVERSATIONS) {
      if (docker.split('.')[0] !== release) continue
      // The keys of each request are the release's: a conversation with others is out of date.
      for (const step of commands.flatMap(({ calls }) => calls)) {
        const real = calls.find(({ call }) => call === step.call)
        if (real === undefined || step.with === undefined) continue
        assert.deepEqual(keysOf(step.with), keysOf(real.with), step.call)
      }
    }
  }))

function keysOf(value: unknown): string[] {
  return Object.keys(value ?? {}).toSorted()
}

/** Of moby's libnetwork/drivers/remote/api and ipams/remote/api, 20.10 to 29. */
const METHODS = [
  'Plugin.Activate',
  ...[
    'GetCapabilities',
    'GwAllocCheck',
    'AllocateNetwork',
    'FreeNetwork',
    'CreateNetwork',
    'DeleteNetwork',
    'CreateEndpoint',
    'DeleteEndpoint',
    'EndpointOperInfo',
    'Join',
    'Leave',
    'ProgramExternalConnectivity',
    'RevokeExternalConnectivity',
    'DiscoverNew',
    'DiscoverDelete',
  ].map((method) => `NetworkDriver.${method}`),
  ...[
    'GetCapabilities',
    'GetDefaultAddressSpaces',
    'RequestPool',
    'ReleasePool',
    'RequestAddress',
    'ReleaseAddress',
  ].map((method) => `IpamDriver.${method}`),
]
