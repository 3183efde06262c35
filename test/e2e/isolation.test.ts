import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { argv } from '../../lab/argv.ts'
import type { Container } from '../../lab/container.ts'
import type { DockerHost } from '../../lab/docker-host.ts'
import { Lab } from '../../lab/lab.ts'
import type { IsolationCounter } from '../../src/linux/isolation.ts'
import { explainFailure } from '../support/lab.ts'
import { waitFor } from '../support/wait.ts'
import { assertReaches, assertSilent } from './support/answers.ts'
import { Capture } from './support/capture.ts'
import { inside } from './support/inside.ts'
import { isolationDrops } from './support/isolation-drops.ts'
import { createRepeating } from './support/network-forms.ts'
import { subnetOf } from './support/subnet-of.ts'

/** Two pooled overlays and two routed ones. */
const NETWORKS = {
  red: argv`--ipam-driver overlay-ts --ipam-opt overlay=red`,
  blue: argv`--ipam-driver overlay-ts --ipam-opt overlay=blue`,
  green: [],
  grey: [],
} as const
type Name = keyof typeof NETWORKS
const NAMES = Object.keys(NETWORKS) as Name[]

interface Placed {
  readonly network: Name
  readonly host: DockerHost
  readonly container: Container
  readonly ip: string
}

describe('four overlays on two Docker hosts', () => {
  let lab: Lab
  const placed: Placed[] = []
  const inLab = (sentence: string, body: () => Promise<void>): void => {
    test(sentence, () => explainFailure(lab, body))
  }

  before(async () => {
    lab = await Lab.create({ hosts: ['96', '98'], plugin: 'before docker' })
    await explainFailure(lab, async () => {
      for (const name of NAMES) {
        for (const host of lab.hosts) await createRepeating(host, name, NETWORKS[name])
      }
      await Promise.all(lab.hosts.map(populate))
      // As many a host has it; Docker's own policy, DROP, would hide what our rules let through.
      const open = argv`iptables --policy FORWARD ACCEPT`
      await Promise.all(lab.hosts.map((host) => host.exec(...open)))
    })
  })
  after(async () => {
    await lab.remove()
  })

  async function populate(host: DockerHost): Promise<void> {
    for (const network of NAMES) {
      const container = await host.run(network, { network })
      placed.push({ network, host, container, ip: await container.ip(network) })
    }
  }

  const outside = ({ network }: Placed): Placed[] =>
    placed.filter((other) => other.network !== network)

  /** Each asker's own overlay answers it: the questions that must stay unanswered are good ones. */
  async function proveProbes(): Promise<void> {
    await Promise.all(
      placed.map(async ({ network, host, container, ip }) => {
        const peer = placed.find((other) => other.network === network && other.host !== host)!
        await assertReaches(container, [peer.ip], ip)
      }),
    )
  }

  /** The body's packets must be dropped on every host by this rule of the isolation table. */
  async function assertDrops(rule: IsolationCounter, body: () => Promise<unknown>): Promise<void> {
    const before = await Promise.all(lab.hosts.map(isolationDrops))
    await body()
    const drops = await Promise.all(lab.hosts.map(isolationDrops))
    drops.forEach((drop, at) => {
      assert.ok(drop[rule] > before[at]![rule], `${rule}: ${JSON.stringify({ before, drops })}`)
    })
    await proveProbes()
  }

  async function bridgeAddress({ host, network }: Placed): Promise<string> {
    const { leased } = await subnetOf(lab, host, network)
    return leased.replace(/0\/\d+$/, '1')
  }

  /** What the container sends to these addresses meanwhile goes to its overlay's bridge, not to docker_gwbridge. */
  async function throughOwnBridge(
    asker: Placed,
    ips: readonly string[],
    body: () => Promise<void>,
  ): Promise<void> {
    const bridge = await bridgeAddress(asker)
    const lines = (word: string): string[] =>
      ips.map((ip) => `ip route ${word} ${ip} via ${bridge}`)
    await inside(asker.container, lines('add'))
    await body()
    await inside(asker.container, lines('del'))
  }

  inLab('are reached each by its own containers', proveProbes)

  inLab('do not reach each other, from any container, on either host', async () => {
    // What a container sends to a foreign address leaves it for docker_gwbridge, and is turned back there.
    await assertDrops('into_ours', () =>
      Promise.all(
        placed.map((asker) =>
          assertSilent(
            asker.container,
            outside(asker).map(({ ip }) => ip),
          ),
        ),
      ),
    )
  })

  inLab('are not reached by a route through their own bridge either', async () => {
    await assertDrops('between_ours', () =>
      Promise.all(
        placed.map((asker) => {
          const foreign = outside(asker).map(({ ip }) => ip)
          return throughOwnBridge(asker, foreign, () => assertSilent(asker.container, foreign))
        }),
      ),
    )
  })

  inLab("do not show other hosts' bridges and addresses to each other", async () => {
    // A container's own host is no stranger: it answers at each of its addresses, as to any container of Docker's.
    await Promise.all(
      placed.map(async (asker) => {
        const remote = outside(asker).filter(({ host }) => host !== asker.host)
        const bridges = await Promise.all(remote.map(bridgeAddress))
        const zeros = bridges.map((ip) => ip.replace(/1$/, '0'))
        await assertSilent(asker.container, [...bridges, ...zeros])
      }),
    )
    await proveProbes()
  })

  inLab('are closed to containers on docker0 and on a bridge network of Docker', async () => {
    await Promise.all(lab.hosts.map((host) => host.docker('network', 'create', 'local')))
    const strangers = await Promise.all(
      lab.hosts.flatMap((host) => ['bridge', 'local'].map((network) => stranger(host, network))),
    )
    const ours = placed.map(({ ip }) => ip)
    await assertDrops('into_ours', () =>
      Promise.all(strangers.map(({ container }) => assertSilent(container, ours))),
    )
    // The other way, whether they come out of docker_gwbridge, which Docker keeps from its other bridges, or of ours.
    const asked = (host: DockerHost): string[] =>
      strangers.filter((other) => other.container.host === host).map(({ own }) => own)
    await Promise.all(placed.map(({ host, container }) => assertSilent(container, asked(host))))
    await assertDrops('out_of_ours', () =>
      Promise.all(
        placed.map((asker) =>
          throughOwnBridge(asker, asked(asker.host), () =>
            assertSilent(asker.container, asked(asker.host)),
          ),
        ),
      ),
    )
    await Promise.all(strangers.flatMap(({ container, peer }) => [container, peer]).map(remove))
    await Promise.all(lab.hosts.map((host) => host.docker('network', 'rm', 'local')))
    await proveProbes()
  })

  inLab('stay apart for a container with a foot in each of two', async () => {
    const host = lab.host('96')
    const both = await host.run('both', { network: ['red', 'green'] })
    const own = await both.networks()
    const member = (network: Name): Placed =>
      placed.find((other) => other.network === network && other.host !== host)!
    await assertReaches(both, [member('red').ip], own['red']!)
    await assertReaches(both, [member('green').ip], own['green']!)
    await assertSilent(both, [member('blue').ip, member('grey').ip])
    // It forwards nothing, and its address in one overlay is no address of the other.
    await assertSilent(member('red').container, [own['green']!, member('green').ip])
    await assertSilent(member('green').container, [own['red']!, member('red').ip])
    await both.remove()
  })

  inLab('turn back what is sent with an address of another overlay', async () => {
    const at = (network: Name, host: string): Placed =>
      placed.find((other) => other.network === network && other.host.name === host)!
    const [liar, fellow, victim] = [at('blue', '96'), at('red', '96'), at('red', '98')]
    const bridge = await bridgeAddress(liar)
    const before = await isolationDrops(liar.host)
    await inside(liar.container, [
      `ip address add ${fellow.ip}/32 dev lo`,
      `ip route add ${victim.ip} via ${bridge} src ${fellow.ip}`,
    ])
    await assertSilent(liar.container, [victim.ip])
    const drops = await isolationDrops(liar.host)
    assert.ok(drops.between_ours > before.between_ours, JSON.stringify({ before, drops }))
    await inside(liar.container, [
      `ip route del ${victim.ip}`,
      `ip address del ${fellow.ip}/32 dev lo`,
    ])
    await proveProbes()
  })

  inLab('send nothing into the tunnel of another host under the address of their own', async () => {
    const [here, there] = [lab.host('96'), lab.host('98')]
    const liar = placed.find(({ host, network }) => host === here && network === 'blue')!
    const send = (port: number): Promise<string> =>
      inside(liar.container, [`printf liar | socat -u - UDP4-SENDTO:${there.ip}:${port}`])
    const earlier = await isolationDrops(here)
    await using capture = await Capture.start(lab, '96')
    await send(8472)
    await send(8473)
    // Docker's masquerade gives it the host's address, by which the other host knows whose containers may speak.
    const sent = `src ${here.ip} and dst ${there.ip} and udp[4:2] = 12`
    await waitFor(async () => (await capture.packets(`${sent} and udp dst port 8473`)).length > 0, {
      what: 'what goes to no tunnel to leave',
    })
    assert.deepEqual(await capture.packets(`${sent} and udp dst port 8472`), [])
    assert.equal((await isolationDrops(here)).to_tunnels, earlier.to_tunnels + 1)
  })
})

/** A container on a network that is not ours, whose neighbour there sees its questions. */
async function stranger(
  host: DockerHost,
  network: string,
): Promise<{ container: Container; peer: Container; own: string }> {
  const container = await host.run(`stranger-${network}`, { network })
  const peer = await host.run(`peer-${network}`, { network })
  const own = await container.ip(network)
  await assertReaches(container, [await peer.ip(network)], own)
  return { container, peer, own }
}

const remove = (container: Container): Promise<void> => container.remove()
