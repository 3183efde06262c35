import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { argv } from '../../lab/argv.ts'
import type { Container } from '../../lab/container.ts'
import type { DockerHost } from '../../lab/docker-host.ts'
import { Lab } from '../../lab/lab.ts'
import { explainFailure } from '../support/lab.ts'
import { eventually, waitFor } from '../support/wait.ts'
import {
  answersFrom,
  assertReaches,
  assertSilent,
  NO_ANSWER,
  seenAs,
  type Answer,
} from './support/answers.ts'
import { createNetwork } from './support/network-forms.ts'

/** A pooled overlay and a routed one. */
const NETWORKS = {
  red: argv`--ipam-driver overlay-ts --ipam-opt overlay=red`,
  green: [],
} as const
type Name = keyof typeof NETWORKS
const NAMES = Object.keys(NETWORKS) as Name[]

/** From the damage until our rules are as before. Longer than a look at all rules takes to come by itself would prove nothing: it comes every 30 s. */
const PROMISED_MS = 10_000

/** What docs/firewalls.md asks for, and nothing else comes in or through. */
const OPENED = `iptables -w -A INPUT -i lo -j ACCEPT
iptables -w -A INPUT -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT
iptables -w -A INPUT -p udp --dport 8472 -j ACCEPT
iptables -w -P INPUT DROP
iptables -w -P FORWARD DROP`

const SAVED = `iptables-restore <<'END'
*filter
:INPUT DROP [0:0]
:FORWARD DROP [0:0]
:OUTPUT ACCEPT [0:0]
-A INPUT -i lo -j ACCEPT
-A INPUT -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT
-A INPUT -p udp --dport 8472 -j ACCEPT
-A FORWARD -s 192.0.2.0/24 -j ACCEPT
COMMIT
END`

const OPEN = `iptables -w -P INPUT ACCEPT
iptables -w -P FORWARD ACCEPT
iptables -w -F`

/** A firewall of nftables alone, as /etc/nftables.conf has it. */
const GUARD = `nft -f - <<'END'
flush ruleset
table inet guard {
  chain input {
    type filter hook input priority filter; policy drop;
    iifname "lo" accept
    ct state established,related accept
    udp dport 8472 accept
  }
  chain forward {
    type filter hook forward priority filter; policy drop;
    ct state established,related accept
  }
}
END`

/** The same with the line that docs/firewalls.md has for it. */
const GUARD_WITH_ROOM = GUARD.replace(
  'hook forward priority filter; policy drop;',
  '$&\n    iifname "ov-*" oifname "ov-*" accept',
)

/** As `update-alternatives --set iptables /usr/sbin/iptables-legacy` does, on this machine alone. */
const OLDER_BACKEND = `cp -a /etc/alternatives "$0"
for name in iptables iptables-save iptables-restore; do
  ln -sf /usr/sbin/$(echo $name | sed s/tables/tables-legacy/) "$0/$name"
done
mount --bind "$0" /etc/alternatives
nft flush ruleset`

describe("two overlays behind their hosts' firewalls", { concurrency: false }, () => {
  let lab: Lab
  const inLab = (sentence: string, body: () => Promise<void>): void => {
    test(sentence, () => explainFailure(lab, body))
  }

  before(async () => {
    lab = await Lab.create({ hosts: ['96', '98'], plugin: 'before docker' })
    await explainFailure(lab, async () => {
      for (const name of NAMES) {
        for (const host of lab.hosts) await createNetwork(host, name, NETWORKS[name])
      }
      await everywhere(async (host) => {
        for (const network of NAMES) {
          await host.run(network, { network, options: ['--restart', 'always'] })
        }
        await shell(host, OPENED)
      })
    })
  })
  after(async () => {
    await lab.remove()
  })

  const everywhere = async (body: (host: DockerHost) => Promise<unknown>): Promise<void> => {
    await Promise.all(lab.hosts.map(body))
  }

  /** Within an overlay all is let through, with its own address; between the two nothing is. */
  async function assertApart(): Promise<void> {
    const [near, far] = lab.hosts as [DockerHost, DockerHost]
    const ip = (host: DockerHost, name: Name): Promise<string> => host.container(name).ip(name)
    const reaches = async (name: Name, from: DockerHost, to: DockerHost): Promise<void> =>
      assertReaches(from.container(name), [await ip(to, name)], await ip(from, name))
    const isSilent = async (name: Name, other: Name, from: DockerHost): Promise<void> =>
      assertSilent(from.container(name), [await ip(near, other), await ip(far, other)])
    await Promise.all(NAMES.flatMap((name) => [reaches(name, near, far), reaches(name, far, near)]))
    await everywhere(async (host) => {
      await Promise.all([isSilent('red', 'green', host), isSilent('green', 'red', host)])
    })
  }

  /** What each container must hear of all others: its own overlay, and nothing else. */
  async function expectations(): Promise<[Container, Record<string, Answer>][]> {
    const places = lab.hosts.flatMap((host) => NAMES.map((name) => ({ host, name })))
    const placed = await Promise.all(
      places.map(async ({ host, name }) => {
        const container = host.container(name)
        return { container, name, ip: await container.ip(name) }
      }),
    )
    return placed.map(({ container, name, ip }) => [
      container,
      Object.fromEntries(
        placed
          .filter((other) => other.ip !== ip)
          .map((other) => [other.ip, other.name === name ? seenAs(ip) : NO_ANSWER]),
      ),
    ])
  }

  /** The same must be heard; a question takes a second, since silence has to be waited for. */
  async function isHeard(expected: Awaited<ReturnType<typeof expectations>>): Promise<void> {
    await eventually(
      async () => {
        await Promise.all(
          expected.map(async ([container, wanted]) =>
            assert.deepEqual(await answersFrom(container, Object.keys(wanted), 1), wanted),
          ),
        )
      },
      { what: 'each container to hear its own overlay alone', timeout: 60_000 },
    )
  }

  /** Our part of the rules must be there again in the promised time. */
  async function isMended(host: DockerHost, by = Date.now() + PROMISED_MS): Promise<void> {
    await waitFor(
      async () => {
        const table = await host.exec('nft', 'list', 'table', 'inet', 'overlay-ts')
        assert.match(table, /counter name "between_ours" drop/)
        const saved = await host.exec('iptables-save')
        if (saved.includes(':FORWARD DROP')) assert.match(saved, /^-A \S+ -i ov-\S+ -o ov-tun /m)
        return true
      },
      { what: `the rules of ${host.name} to be mended`, timeout: by - Date.now(), every: 200 },
    )
  }

  /** Rules are as before in the promised time from the damage on, and traffic with them, and both stay so. */
  async function assertMendedAfter(damage: string): Promise<void> {
    const expected = await expectations()
    const by = Date.now() + PROMISED_MS
    await everywhere((host) => shell(host, damage))
    await everywhere((host) => isMended(host, by))
    await isHeard(expected)
    await assertApart()
  }

  inLab('which refuse by default, with one port open for the tunnel', assertApart)

  const damages = {
    "Docker's chain is emptied": 'iptables -w -F DOCKER-USER',
    "the way to Docker's chain is flushed": 'iptables -w -F FORWARD',
    'rules are read from a file': SAVED,
    'everything is flushed': 'nft flush ruleset',
  }
  for (const [what, script] of Object.entries(damages)) {
    inLab(`when ${what}`, () => assertMendedAfter(script))
  }

  inLab('when dockerd makes its rules anew, with either backend of iptables', async () => {
    await everywhere(async (host) => {
      await host.stopDocker()
      if (host.name === '98') {
        await host.exec('sh', '-ec', OLDER_BACKEND, host.machine.path('alternatives'))
      }
      await host.startDocker()
      await shell(host, OPENED)
      await host.exec('sh', '-c', 'kill -HUP $(cat /run/docker.pid)')
      await isMended(host, Date.now() + 60_000)
      await Promise.all(NAMES.map((name) => isRunning(host, name)))
    })
    await assertApart()
    // What lets overlays pass stands where there is room for it, and moves when Docker has made its own chain.
    await eventually(
      async () => {
        const older = await lab.host('98').exec('iptables-legacy', '-w', '-S')
        assert.match(older, /-A DOCKER-USER -i ov-/, 'Docker uses the older backend there')
        const newer = await lab.host('96').exec('iptables', '-S')
        assert.match(newer, /-A DOCKER-USER -i ov-/, 'and the newer one here')
        assert.doesNotMatch(newer, /-A FORWARD -i ov-/, 'what stood in its place is gone')
      },
      { what: "the rules to be in Docker's own chain", timeout: 60_000 },
    )
    await assertMendedAfter('iptables -w -F DOCKER-USER')
  })

  inLab(
    'which are of nftables alone: the chain that drops is named, with what lets overlays pass',
    async () => {
      await everywhere((host) => shell(host, `${OPEN}\n${GUARD}`))
      await everywhere(async (host) => {
        await isMended(host)
        const problem = await waitFor(async () => (await firewallOf(host))[0], {
          what: `the plugin of ${host.name} to name the chain`,
          timeout: PROMISED_MS,
          every: 200,
        })
        const command = /^the nftables chain inet guard forward drops .* with: (nft .*)$/.exec(
          problem,
        )
        assert.ok(command, problem)
        assert.match(host.pluginLog(), /the nftables chain inet guard forward drops by its policy/)
        assert.match(await host.admin('/metrics'), /^overlay_ts_firewall_problems 1$/m)
        const red = host.container('red')
        const others = lab.hosts.filter((other) => other !== host)
        await assertSilent(red, await Promise.all(others.map((o) => o.container('red').ip('red'))))
      })
      await everywhere(async (host) => {
        const [problem] = await firewallOf(host)
        await shell(host, problem!.slice(problem!.indexOf('nft insert rule')))
      })
      await assertApart()
      await everywhere((host) =>
        waitFor(async () => (await firewallOf(host)).length === 0, {
          what: `nothing to stand in the way on ${host.name}`,
          timeout: PROMISED_MS,
          every: 200,
        }),
      )
      await assertMendedAfter(GUARD_WITH_ROOM)
    },
  )
})

const shell = (host: DockerHost, script: string): Promise<string> => host.exec('sh', '-ec', script)

async function firewallOf(host: DockerHost): Promise<string[]> {
  const state = JSON.parse(await host.admin('/v1/state')) as { firewall: string[] }
  return state.firewall
}

async function isRunning(host: DockerHost, name: string): Promise<void> {
  await waitFor(
    async () => (await host.docker('inspect', '-f', '{{.State.Running}}', name)) === 'true',
    { what: `${name} to run on ${host.name}`, timeout: 60_000, every: 250 },
  )
}
