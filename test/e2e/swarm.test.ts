/** The commands of docs/swarm.md, typed on two nodes of a real swarm that have the managed plugin. */
import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { argv } from '../../lab/argv.ts'
import { command } from '../../lab/command.ts'
import { Container } from '../../lab/container.ts'
import type { DockerHost } from '../../lab/docker-host.ts'
import { IMAGE } from '../../lab/image.ts'
import { Lab } from '../../lab/lab.ts'
import { builtPlugin, createManagedPlugin, MANAGED_PLUGIN } from '../../lab/managed-plugin.ts'
import { messageOf } from '../../src/errors.ts'
import { explainFailure } from '../support/lab.ts'
import { fencesOf, readDocument } from '../support/markdown.ts'
import { eventually } from '../support/wait.ts'
import { assertReaches } from './support/answers.ts'
import { MANAGED_SETTINGS } from './support/managed-host.ts'
import { refusalOf } from './support/refusal-of.ts'

describe('a swarm of two nodes', { concurrency: false }, () => {
  let lab: Lab
  let manager: DockerHost
  let worker: DockerHost
  const inLab = (sentence: string, body: () => Promise<void>): void => {
    test(sentence, () => explainFailure(lab, body))
  }

  before(async () => {
    lab = await Lab.create({ hosts: ['96', '98'] })
    ;[manager, worker] = [lab.host('96'), lab.host('98')]
    await explainFailure(lab, async () => {
      await builtPlugin(manager)
      await Promise.all(
        lab.hosts.map((host) => createManagedPlugin(host, { settings: MANAGED_SETTINGS })),
      )
      await makeSwarm()
    })
  })
  after(async () => {
    await lab.remove()
  })

  inLab(
    'a network of the swarm is made, and each node leases a subnet of its own for it',
    async () => {
      for (const host of lab.hosts) await type(host, '### On every node')
      await type(manager, '### On a manager')
      const placed = await untilPlaced('web', 4)
      const subnets = placed.map(
        (tasks) => new Set(tasks.map(({ ip }) => ip.replace(/\.\d+$/, ''))),
      )
      assert.deepEqual(
        subnets.map(({ size }) => size),
        [1, 1],
      )
      assert.notDeepEqual(subnets[0], subnets[1])
    },
  )

  inLab("tasks of both nodes see each other's own addresses", async () => {
    const [here, there] = await untilPlaced('web', 4)
    for (const [one, other] of [
      [here[0]!, there[0]!],
      [there[0]!, here[0]!],
    ] as const) {
      await assertReaches(one.container, [other.ip], one.ip)
    }
  })

  inLab("a service's name is that of all its tasks, on both nodes", async () => {
    await isResolvedTo(4)
  })

  inLab('a service without --endpoint-mode has no virtual address either', async () => {
    await manager.docker(
      ...argv`service create -d --no-resolve-image --name plain --network shop --replicas 2 ${IMAGE}`,
    )
    const ips = (await untilPlaced('plain', 2)).flat().map(({ ip }) => ip)
    const said = await manager.docker('service', 'inspect', '-f', '{{json .Endpoint}}', 'plain')
    assert.doesNotMatch(said, /"Addr"/)
    const [here] = await untilPlaced('web', 4)
    await knows(here[0]!.container, 'plain', ips)
    await manager.docker('service', 'rm', 'plain')
  })

  inLab("a service's port is published by the node that runs it, and by no other", async () => {
    const words = argv`service create -d --no-resolve-image --network shop --endpoint-mode dnsrr --name open`
    const ingress = manager.docker(...words, ...argv`--publish 8088:80 ${IMAGE}`)
    const said = await refusalOf(ingress)
    assert.match(said, /port published with ingress mode can't be used with dnsrr mode/)
    await manager.docker(
      ...words,
      ...argv`--publish mode=host,target=80,published=8088 --constraint node.hostname==host-98 ${IMAGE}`,
    )
    await untilPlaced('open', 1)
    const ask = async (host: DockerHost): Promise<string> =>
      manager.exec(...argv`timeout 3 busybox wget -q -O - http://${host.ip}:8088/cgi-bin/peer`)
    await eventually(async () => assert.equal(await ask(worker), manager.ip), {
      what: 'the published port to answer',
      timeout: 30_000,
      every: 300,
    })
    await assert.rejects(ask(manager))
    await manager.docker('service', 'rm', 'open')
  })

  inLab('more tasks and fewer are found under the name', async () => {
    await manager.docker(...argv`service scale -d web=6`)
    await untilPlaced('web', 6)
    await isResolvedTo(6)
    await manager.docker(...argv`service scale -d web=2`)
    await untilPlaced('web', 2)
    await isResolvedTo(2)
  })

  inLab('a container that is no service is in the network too', async () => {
    const extra = await worker.run('extra', { network: 'shop' })
    const ips = (await untilPlaced('web', 2)).flat().map(({ ip }) => ip)
    await assertReaches(extra, ips, await extra.ip())
    await extra.remove()
  })

  inLab('a drained node gives its subnet back, and has one again when it is active', async () => {
    const leases = async (): Promise<number> =>
      (await lab.etcdText('/overlay-ts/subnets/')).split('"Overlay":"shop"').length - 1
    assert.equal(await leases(), 2)
    await manager.docker(...argv`node update --availability drain host-98`)
    const [, drained] = await untilPlaced('web', 2, 1)
    assert.deepEqual(drained, [])
    await eventually(async () => assert.equal(await leases(), 1), {
      what: 'the subnet to be given back',
      timeout: 60_000,
      every: 300,
    })
    await isResolvedTo(2, 1)
    await manager.docker(...argv`node update --availability active host-98`)
    await manager.docker(...argv`service scale -d web=4`)
    const [here, there] = await untilPlaced('web', 4)
    await assertReaches(here[0]!.container, [there[0]!.ip], here[0]!.ip)
    await isResolvedTo(4)
  })

  inLab("a plugin's short name is refused for the network itself", async () => {
    const words = argv`network create -d overlay-ts --scope swarm --config-from shop-node short`
    const said = await refusalOf(manager.docker(...words))
    assert.match(said, /legacy plugin overlay-ts .* is not supported in swarm mode/)
  })

  inLab('nothing is left when the service and the network are removed', async () => {
    await type(manager, '## Removing it')
    await eventually(async () => assert.equal(await lab.etcdText('/overlay-ts/subnets/'), ''), {
      what: 'the subnets to be given back',
      timeout: 60_000,
      every: 300,
    })
  })

  interface Task {
    readonly container: Container
    readonly ip: string
  }

  async function makeSwarm(): Promise<void> {
    await manager.docker(...argv`swarm init --advertise-addr ${manager.ip}`)
    const token = await manager.docker(...argv`swarm join-token -q worker`)
    const joined = worker.docker(...argv`swarm join --token ${token} ${manager.ip}:2377`)
    await joined.catch((error: unknown) => {
      // After 20 s docker says so and goes on; that the node is there is waited for below.
      if (!messageOf(error).includes('will continue in the background')) throw error
    })
    // Tasks are placed on nodes only whose plugin the manager knows of.
    const format = '{{.Status.State}} {{range .Description.Engine.Plugins}}{{.Name}} {{end}}'
    for (const { machine } of lab.hosts) {
      await eventually(
        async () => {
          const said = await manager.docker('node', 'inspect', '-f', format, `host-${machine.name}`)
          const [state, ...plugins] = said.split(' ')
          assert.equal(state, 'ready')
          assert.ok(plugins.includes(MANAGED_PLUGIN), said)
        },
        { what: `the manager to know the plugin of ${machine.name}`, timeout: 60_000, every: 300 },
      )
    }
  }

  /** The commands under a heading of docs/swarm.md, with the lab's plugin and image. */
  async function type(host: DockerHost, heading: string): Promise<string> {
    const { path, text } = readDocument('docs/swarm.md')
    const start = text.indexOf(`\n${heading}\n`)
    assert.ok(start >= 0, `${path} has no heading "${heading}"`)
    const [fence] = fencesOf({ path, text: text.slice(start) })
    const lines = fence!.lines.join('\n').replaceAll('REGISTRY/overlay-ts:1', MANAGED_PLUGIN)
    return command(['sh', '-e', '-c', lines.replaceAll('nginx', IMAGE)], {
      env: { ...host.dockerEnv(), DOCKER_HOST: `unix://${host.socket}` },
    })
  }

  /** The running tasks on each node, once there are so many in all, on so many nodes: on both if there is more than one, unless told. */
  async function untilPlaced(
    service: string,
    count: number,
    nodes = Math.min(count, lab.hosts.length),
  ): Promise<[Task[], Task[]]> {
    let placed: Task[][] = []
    await eventually(
      async () => {
        placed = await Promise.all(lab.hosts.map((host) => tasksOn(host, service)))
        assert.equal(placed.flat().length, count)
        assert.equal(placed.filter((tasks) => tasks.length > 0).length, nodes)
      },
      { what: `${count} tasks of ${service} on ${nodes} nodes`, timeout: 120_000, every: 300 },
    )
    return placed as [Task[], Task[]]
  }

  async function tasksOn(host: DockerHost, service: string): Promise<Task[]> {
    const filter = `label=com.docker.swarm.service.name=${service}`
    const names = await host.docker('ps', '--filter', filter, '--format', '{{.Names}}')
    return Promise.all(
      names
        .split('\n')
        .filter(Boolean)
        .map(async (name) => {
          const container = new Container(host, name)
          return { container, ip: await container.ip('shop') }
        }),
    )
  }

  async function isResolvedTo(count: number, nodes?: number): Promise<void> {
    const placed = (await untilPlaced('web', count, nodes)).flat()
    const ips = placed.map(({ ip }) => ip).sort()
    for (const { container } of placed) {
      for (const name of ['web', 'tasks.web']) await knows(container, name, ips)
    }
  }

  async function knows(container: Container, name: string, ips: readonly string[]): Promise<void> {
    await eventually(
      async () => assert.deepEqual(await resolved(container, name), [...ips].sort()),
      { what: `${container.name} to know ${name}`, timeout: 60_000, every: 300 },
    )
  }

  async function resolved(container: Container, name: string): Promise<string[]> {
    const said = await container.exec('sh', '-c', `nslookup ${name} 127.0.0.11 || true`)
    return [...said.matchAll(/^Address: (\d+\.\d+\.\d+\.\d+)$/gm)].map(([, ip]) => ip!).sort()
  }
})
