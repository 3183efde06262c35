import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { argv } from '../../lab/argv.ts'
import type { DockerHost } from '../../lab/docker-host.ts'
import { Lab } from '../../lab/lab.ts'
import { BRIDGE } from '../../lab/switch.ts'
import { parseCidr6 } from '../../src/net/cidr6.ts'
import { formatIpv6 } from '../../src/net/ipv6.ts'
import type { IsolationCounter } from '../../src/linux/isolation.ts'
import { explainFailure } from '../support/lab.ts'
import { waitFor } from '../support/wait.ts'
import { advertiseRouter } from './support/advertise-router.ts'
import { assertReaches, assertSilent, type Asker } from './support/answers.ts'
import { inside } from './support/inside.ts'
import { isolationDrops } from './support/isolation-drops.ts'
import { createNetwork } from './support/network-forms.ts'
import { assertConnected, place, type Placed } from './support/placed.ts'
import { subnetOf } from './support/subnet-of.ts'

/** Two pooled overlays and a routed one. */
const NETWORKS = {
  red: argv`--ipv6 --ipam-driver overlay-ts --ipam-opt overlay=red`,
  blue: argv`--ipv6 --ipam-driver overlay-ts --ipam-opt overlay=blue`,
  green: argv`--ipv6 --ipam-driver overlay-ts`,
} as const
type Name = keyof typeof NETWORKS
const NAMES = Object.keys(NETWORKS) as Name[]

/** Docker has rules of its own for IPv6, which it makes unasked from 27 on. */
const DOCKERD = argv`--experimental --ip6tables`

/** Leaves room for others there, as Docker does from 27 on, and refuses by default. */
const CLOSED = `ip6tables -N DOCKER-USER
ip6tables -A DOCKER-USER -j RETURN
ip6tables -I FORWARD -j DOCKER-USER
ip6tables -P FORWARD DROP`

/** A global address in the underlay, which the lab's hosts have none of. */
const underlay6 = (name: string): string => `fd00:18::${name}`

/** Longer than a look at all rules takes to come by itself would prove nothing: it comes every 30 s. */
const PROMISED_MS = 10_000

describe('overlays of IPv6 on two Docker hosts', { concurrency: false }, () => {
  let lab: Lab
  let a: DockerHost
  let b: DockerHost
  const placed: Placed[] = []
  const inLab = (sentence: string, body: () => Promise<void>): void => {
    test(sentence, () => explainFailure(lab, body))
  }
  const everywhere = async (body: (host: DockerHost) => Promise<unknown>): Promise<void> => {
    await Promise.all(lab.hosts.map(body))
  }

  before(async () => {
    lab = await Lab.create({ hosts: ['96', '98'], plugin: 'before docker', dockerd: DOCKERD })
    ;[a, b] = [lab.host('96'), lab.host('98')]
    await explainFailure(lab, async () => {
      await everywhere(async (host) => {
        await advertiseRouter(lab, host, 600)
        await waitFor(() => defaultRoute(host), {
          what: `a default route of ${host.name}`,
          timeout: 30_000,
        })
      })
      await shell(a, 'ip6tables -P FORWARD DROP')
      await shell(b, CLOSED)
      for (const name of NAMES) {
        for (const host of lab.hosts) await createNetwork(host, name, NETWORKS[name])
      }
      await everywhere(async (host) => {
        for (const name of NAMES) placed.push(await place(host, name))
      })
    })
  })
  after(async () => {
    await lab.remove()
  })

  const of = (network: Name, host: DockerHost): Placed =>
    placed.find((each) => each.network === network && each.host === host)!
  const outside = ({ network }: Placed): Placed[] =>
    placed.filter((other) => other.network !== network)

  /** Each overlay is whole: the questions that must stay unanswered elsewhere are good ones. */
  async function assertWhole(): Promise<void> {
    await Promise.all(
      NAMES.map((name) => assertConnected(placed.filter(({ network }) => network === name))),
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
    await assertWhole()
  }

  /** The host's own address in the network, and its bridge's. */
  async function ownOf({ host, network }: Placed): Promise<{ base: string; bridge: string }> {
    const { address } = parseCidr6((await subnetOf(lab, host, network)).leased6!)
    return { base: formatIpv6(address), bridge: formatIpv6(address + 1n) }
  }

  /** What the container sends to these addresses meanwhile goes to its overlay's bridge. */
  async function throughOwnBridge(
    asker: Placed,
    ips: readonly string[],
    body: () => Promise<void>,
  ): Promise<void> {
    const { bridge } = await ownOf(asker)
    const lines = (word: string): string[] =>
      ips.map((ip) => `ip -6 route ${word} ${ip}/128 via ${bridge}`)
    await inside(asker.container, lines('add'))
    await body()
    await inside(asker.container, lines('del'))
  }

  const cannotReach = (asker: Placed, ips: readonly string[]): Promise<void> =>
    throughOwnBridge(asker, ips, () => assertSilent(asker.container, ips))

  inLab(
    'are let through by hosts that refuse to forward, and again when rules are gone',
    async () => {
      await assertWhole()
      const lets = async (host: DockerHost, chain: string): Promise<void> => {
        const rule = new RegExp(`^-A ${chain} -i ov-\\S+ -o ov-tun `, 'm')
        await waitFor(async () => rule.test(await host.exec('ip6tables', '-S')), {
          what: `a rule in ${chain} of ${host.name}`,
          timeout: PROMISED_MS,
          every: 200,
        })
      }
      await lets(a, 'FORWARD')
      await lets(b, 'DOCKER-USER')
      await shell(b, 'ip6tables -F DOCKER-USER')
      await lets(b, 'DOCKER-USER')
      await assertWhole()
      await everywhere((host) => shell(host, 'ip6tables -F FORWARD'))
      await everywhere((host) => lets(host, 'FORWARD'))
      await assertWhole()
    },
  )

  inLab('leave their hosts the default routes that routers advertise', async () => {
    await everywhere(async (host) => {
      const forwarding = await host.exec('cat', '/proc/sys/net/ipv6/conf/all/forwarding')
      assert.equal(forwarding, '1')
      assert.match((await defaultRoute(host)) ?? '', /dev eth0 proto ra /)
      await advertiseRouter(lab, host, 1800)
      await waitFor(
        async () => Number(/expires (\d+)sec/.exec((await defaultRoute(host)) ?? '')?.[1]) > 600,
        { what: `${host.name} to hear its router again`, timeout: 30_000 },
      )
    })
  })

  inLab('do not reach each other, from any container, on either host', async () => {
    // As many a host has it; a policy of DROP would hide what our rules let through.
    await everywhere((host) => shell(host, 'ip6tables -P FORWARD ACCEPT'))
    await assertWhole()
    await assertDrops('between_ours', () =>
      Promise.all(
        placed.map((asker) =>
          cannotReach(
            asker,
            outside(asker).map(({ ip6 }) => ip6),
          ),
        ),
      ),
    )
  })

  inLab("do not show other hosts' bridges and addresses to each other", async () => {
    await Promise.all(
      placed.map(async (asker) => {
        const remote = outside(asker).filter(({ host }) => host !== asker.host)
        const own = await Promise.all(remote.map(ownOf))
        await cannotReach(
          asker,
          own.flatMap(({ base, bridge }) => [base, bridge]),
        )
      }),
    )
    await assertWhole()
  })

  inLab('are closed to containers on a bridge network of Docker', async () => {
    const strangers = await Promise.all(
      lab.hosts.map(async (host) => {
        const words = argv`network create --ipv6 --subnet fd00:99:0:${host.name}::/64 local`
        await host.docker(...words)
        const [asker, peer] = [
          await place(host, 'local', 'asker'),
          await place(host, 'local', 'peer'),
        ]
        await assertReaches(asker.container, [peer.ip6], asker.ip6)
        return asker
      }),
    )
    const ours = placed.map(({ ip6 }) => ip6)
    await assertDrops('into_ours', () =>
      Promise.all(strangers.map(({ container }) => assertSilent(container, ours))),
    )
    await assertDrops('out_of_ours', () =>
      Promise.all(
        placed.map((asker) => {
          const near = strangers.filter(({ host }) => host === asker.host)
          return cannotReach(
            asker,
            near.map(({ ip6 }) => ip6),
          )
        }),
      ),
    )
  })

  inLab("are closed to the hosts' own network", async () => {
    const outsider: Asker = { name: 'the gateway', exec: (...words) => lab.switch.exec(...words) }
    const there = underlay6('1')
    await lab.switch.exec(...argv`ip -6 address add ${there}/64 dev ${BRIDGE} nodad`)
    await everywhere(async (host) => {
      await host.exec(...argv`ip -6 address add ${underlay6(host.name)}/64 dev eth0 nodad`)
      await host.exec(...argv`busybox ping -c 1 -W 30 ${there}`)
    })
    // Both ways are laid: only rules keep the packets from going them.
    for (const each of placed) {
      const { leased6 } = await subnetOf(lab, each.host, each.network)
      await lab.switch.exec(...argv`ip -6 route add ${leased6!} via ${underlay6(each.host.name)}`)
      const { bridge } = await ownOf(each)
      await inside(each.container, [`ip -6 route add ${there}/128 via ${bridge}`])
    }
    const ours = placed.map(({ ip6 }) => ip6)
    await assertDrops('into_ours', () => assertSilent(outsider, ours))
    await assertDrops('out_of_ours', () =>
      Promise.all(placed.map(({ container }) => assertSilent(container, [there]))),
    )
  })

  inLab('turn back what is sent with an address of another overlay', async () => {
    const [liar, fellow, victim] = [of('blue', a), of('red', a), of('red', b)]
    const { bridge } = await ownOf(liar)
    const before = await isolationDrops(liar.host)
    await inside(liar.container, [
      `ip -6 address add ${fellow.ip6}/128 dev lo nodad`,
      `ip -6 route add ${victim.ip6}/128 via ${bridge} src ${fellow.ip6}`,
    ])
    await assertSilent(liar.container, [victim.ip6])
    const drops = await isolationDrops(liar.host)
    assert.ok(drops.between_ours > before.between_ours, JSON.stringify({ before, drops }))
    await inside(liar.container, [
      `ip -6 route del ${victim.ip6}/128`,
      `ip -6 address del ${fellow.ip6}/128 dev lo`,
    ])
    await assertWhole()
  })
})

const shell = (host: DockerHost, script: string): Promise<string> => host.exec('sh', '-ec', script)

/** The host's default route for IPv6 as `ip` has it, undefined where there is none. */
async function defaultRoute(host: DockerHost): Promise<string | undefined> {
  return (await host.exec('ip', '-6', 'route', 'show', 'default')).split('\n').find(Boolean)
}
