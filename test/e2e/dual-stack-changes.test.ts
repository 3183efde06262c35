import assert from 'node:assert/strict'
import { readdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { argv } from '../../lab/argv.ts'
import type { DockerHost } from '../../lab/docker-host.ts'
import { Lab } from '../../lab/lab.ts'
import { explainFailure } from '../support/lab.ts'
import { eventually } from '../support/wait.ts'
import { assertReaches, assertSilent } from './support/answers.ts'
import { agreedEndpoints } from './support/endpoint-records.ts'
import { inside } from './support/inside.ts'
import { createNetwork } from './support/network-forms.ts'
import { NumberedStream } from './support/numbered-stream.ts'
import { assertConnected, place, type Placed } from './support/placed.ts'
import { refusalOf } from './support/refusal-of.ts'
import { subnetOf } from './support/subnet-of.ts'
import { untilBridgesPublished } from './support/until-bridges-published.ts'

/** A pooled overlay and a routed one: what carries their packets differs. */
const NETWORKS = {
  web: () => argv`--ipv6 --ipam-driver overlay-ts --ipam-opt overlay=web`,
  app: ({ name }: DockerHost) =>
    argv`--ipv6 --subnet 172.30.${name}.0/24 --subnet fd00:30:0:${name}::/64`,
} as const
type Name = keyof typeof NETWORKS
const NAMES = Object.keys(NETWORKS) as Name[]

describe('while containers talk over IPv6', { concurrency: false }, () => {
  let lab: Lab
  let near: DockerHost
  let far: DockerHost
  /** On the first host and on the second; nobody touches them. */
  const running = {} as Record<Name, readonly [Placed, Placed]>
  const inLab = (sentence: string, body: () => Promise<void>): void => {
    test(sentence, () => explainFailure(lab, body))
  }

  before(async () => {
    lab = await Lab.create({ hosts: ['96', '98'], plugin: 'before docker' })
    ;[near, far] = [lab.host('96'), lab.host('98')]
    await explainFailure(lab, async () => {
      for (const name of NAMES) {
        for (const host of lab.hosts) await createNetwork(host, name, NETWORKS[name](host))
        running[name] = await Promise.all([place(near, name), place(far, name)])
        await assertConnected(running[name])
      }
      await untilBridgesPublished(lab)
    })
  })
  after(async () => {
    await lab.remove()
  })

  /** Over TCP and UDP, out of the first host in one network and into it in the other. */
  async function everyStream(): Promise<AsyncDisposable & { all: readonly NumberedStream[] }> {
    await using cleanUp = new AsyncDisposableStack()
    const all: NumberedStream[] = []
    for (const name of NAMES) {
      for (const kind of ['tcp', 'udp'] as const) {
        const [a, b] = running[name]
        const [from, to] = (name === 'web') === (kind === 'tcp') ? [a, b] : [b, a]
        const at = { ip: to.ip6, port: kind === 'tcp' ? 9000 : 9001 }
        all.push(cleanUp.use(await NumberedStream.start(kind, from.container, to.container, at)))
      }
    }
    const kept = cleanUp.move()
    return { all, [Symbol.asyncDispose]: () => kept.disposeAsync() }
  }

  async function stateOf(host: DockerHost): Promise<string> {
    const routes = NAMES.map((name) => routesOf(running[name][0]))
    return [await host.stateText(), ...(await Promise.all(routes))].join('\n')
  }

  inLab('the plugin may be killed or stopped, and no byte is lost', async () => {
    for (const signal of ['SIGKILL', 'SIGTERM'] as const) {
      const before = await stateOf(near)
      await using streams = await everyStream()
      await near.killPlugin(signal)
      await near.startPlugin()
      for (const stream of streams.all) await stream.flows()
      for (const stream of streams.all) await stream.finish()
      await eventually(async () => assert.equal(await stateOf(near), before), {
        what: `host 96 to be as before ${signal}`,
        timeout: 30_000,
      })
    }
  })

  inLab('another host may join, and leave again', async () => {
    await using streams = await everyStream()
    const before = await Promise.all(NAMES.flatMap((name) => running[name].map(routesOf)))
    const third = await lab.addHost('97')
    await third.startPlugin()
    for (const name of NAMES) await createNetwork(third, name, NETWORKS[name](third))
    const late = await Promise.all(NAMES.map((name) => place(third, name)))
    for (const member of late) {
      const others = running[member.network as Name]
      await assertConnected([member, ...others])
      const { leased6 } = await subnetOf(lab, third, member.network)
      for (const other of others) {
        // A pooled overlay's containers have one route for its whole pool.
        const isTold = (await routesOf(other)).includes(`${leased6} via `)
        assert.equal(isTold, member.network === 'app', `${other.container.name}: ${leased6}`)
      }
    }
    for (const { network, container } of late) {
      await container.remove()
      await third.docker('network', 'rm', network)
    }
    await eventually(
      async () => {
        const now = await Promise.all(NAMES.flatMap((name) => running[name].map(routesOf)))
        assert.deepEqual(now, before)
      },
      { what: 'the routes to the third host to go', timeout: 30_000 },
    )
    for (const { network, ip6 } of late) {
      const [asker] = running[network as Name]
      await assertSilent(asker.container, [ip6])
    }
    for (const stream of streams.all) await stream.flows()
    for (const stream of streams.all) await stream.finish()
  })

  inLab('an overlay of IPv4 may get IPv6, one host after the other', async () => {
    const four = argv`--ipam-driver overlay-ts --ipam-opt overlay=later`
    await createNetwork(near, 'later', four)
    const old = await near.run('old', { network: 'later' })
    await createNetwork(far, 'later', argv`${four} --ipv6`)
    const first = await place(far, 'later')
    await assertReaches(old, [first.ip], await old.ip())
    await assertReaches(first.container, [await old.ip()], first.ip)
    await assert.rejects(old.ip6(), /has no one address/)

    await old.remove()
    await near.docker('network', 'rm', 'later')
    await createNetwork(near, 'later', argv`${four} --ipv6`)
    // A container that runs already, too.
    const { container } = running.web[0]
    await near.docker('network', 'connect', 'later', container.name)
    const [ip, ip6] = [await container.ip('later'), await container.ip6('later')]
    await assertConnected([first, { ...running.web[0], network: 'later', ip, ip6 }])
    await assertConnected(running.web)
    await near.docker('network', 'disconnect', 'later', container.name)
    await first.container.remove()
    await Promise.all([near, far].map((host) => host.docker('network', 'rm', 'later')))
  })

  inLab('hosts that make one overlay at one moment agree on its IPv6 pool', async () => {
    const words = argv`--ipv6 --ipam-driver overlay-ts --ipam-opt overlay=race`
    await Promise.all([near, far].map((host) => createNetwork(host, 'race', words)))
    const members = await Promise.all([place(near, 'race'), place(far, 'race')])
    await assertConnected(members)
    await Promise.all(members.map(({ container }) => container.remove()))
    await Promise.all([near, far].map((host) => host.docker('network', 'rm', 'race')))
  })

  inLab('the state directory may be lost: Docker and etcd tell it again', async () => {
    const before = await stateOf(near)
    await using streams = await everyStream()
    await near.stopPlugin()
    for (const entry of readdirSync(near.stateDir)) {
      rmSync(join(near.stateDir, entry), { recursive: true })
    }
    await near.startPlugin()
    await eventually(async () => assert.equal(await stateOf(near), before), {
      what: 'host 96 to be as before the loss',
      timeout: 60_000,
      every: 250,
    })
    await agreedEndpoints(lab, near)
    for (const stream of streams.all) await stream.flows()
    for (const stream of streams.all) await stream.finish()
    for (const name of NAMES) {
      const fresh = await place(near, name, `${name}-fresh`)
      await assertConnected([fresh, ...running[name]])
      await fresh.container.remove()
    }
  })

  inLab('a network between the hosts that is too narrow for IPv6 leaves IPv4 alone', async () => {
    // Chains stand in the order in which they were made.
    const state = async (): Promise<string[]> => (await stateOf(near)).split('\n').toSorted()
    const before = await state()
    const [web] = running.web
    const assertIpv4 = async (): Promise<void> => {
      for (const name of NAMES) {
        const [a, b] = running[name]
        await assertReaches(a.container, [b.ip], a.ip)
        await assertReaches(b.container, [a.ip], b.ip)
      }
    }
    await near.exec('ip', 'link', 'set', 'eth0', 'mtu', '1300')
    await eventually(async () => assert.match(await near.exec(...TUN), / mtu 1250 /), {
      what: 'the plugin to see it',
      timeout: 30_000,
    })
    await assertIpv4()
    // What a new process finds is the hardest case: there is no forwarder yet.
    await near.killPlugin()
    await near.startPlugin()
    await eventually(assertIpv4, { what: 'the new forwarder', timeout: 30_000 })
    assert.match(near.pluginLog(), /goes on without its IPv6 fd.*1280 bytes/)
    assert.match(
      await refusalOf(near.run('narrow', { network: 'web' })),
      /which this host cannot carry any more: IPv6 needs packets of 1280 bytes/,
    )
    await near.docker('rm', '-f', 'narrow')
    await near.exec('ip', 'link', 'set', 'eth0', 'mtu', '1500')
    await eventually(async () => assert.deepEqual(await state(), before), {
      what: 'host 96 to be as before',
      timeout: 60_000,
      every: 250,
    })
    for (const name of NAMES) await assertConnected(running[name])
    assert.equal(await web.container.ip6('web'), web.ip6)
  })
})

const TUN = argv`ip link show ov-tun`

async function routesOf({ container }: Placed): Promise<string> {
  const routes = await inside(container, ['ip -6 route show'])
  return routes
    .split('\n')
    .map((line) => line.trim())
    .toSorted()
    .join('\n')
}
