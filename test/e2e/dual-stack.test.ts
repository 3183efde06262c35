import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { argv } from '../../lab/argv.ts'
import type { DockerHost } from '../../lab/docker-host.ts'
import { IMAGE } from '../../lab/image.ts'
import { Lab } from '../../lab/lab.ts'
import { parseCidr } from '../../src/net/cidr.ts'
import { containsIp6, formatCidr6, parseCidr6 } from '../../src/net/cidr6.ts'
import { formatIpv6, parseIpv6 } from '../../src/net/ipv6.ts'
import { explainFailure } from '../support/lab.ts'
import { eventually } from '../support/wait.ts'
import { assertReaches } from './support/answers.ts'
import { compose, writeProject } from './support/compose.ts'
import { inside } from './support/inside.ts'
import { createNetwork } from './support/network-forms.ts'
import { sendUncut, untilToldMtu } from './support/path-mtu.ts'
import { assertConnected, place, type Placed } from './support/placed.ts'
import { refusalOf } from './support/refusal-of.ts'
import { subnetOf, type SubnetOfNetwork } from './support/subnet-of.ts'
import { untilBridgesPublished } from './support/until-bridges-published.ts'

const OURS = argv`--ipam-driver overlay-ts`

/** Every way to make a network of both families, by its name: the words on a host, beside --ipv6. */
const NETWORKS = {
  web: () => argv`${OURS} --ipam-opt overlay=web`,
  shared: () => argv`${OURS} --subnet 10.40.0.0/16 --subnet fd00:40::/48`,
  out: () => argv`${OURS} --ipam-opt overlay=out -o gateway=bridge`,
  routed: () => OURS,
  app: ({ name }: DockerHost) => argv`--subnet 172.30.${name}.0/24 --subnet fd00:30:0:${name}::/64`,
} as const satisfies Record<string, (host: DockerHost) => readonly string[]>
type Name = keyof typeof NETWORKS
const NAMES = Object.keys(NETWORKS) as Name[]

/** Containers of these see one prefix for all hosts; of the others one for each. */
const POOLED: readonly Name[] = ['web', 'shared', 'out']

type SubnetsOfBoth = SubnetOfNetwork & { readonly leased6: string }

describe('networks of IPv4 and IPv6 on two Docker hosts', { concurrency: false }, () => {
  let lab: Lab
  let a: DockerHost
  let b: DockerHost
  /** In each network two on the first host and one on the second. */
  const placed = {} as Record<Name, readonly [Placed, Placed, Placed]>
  const inLab = (sentence: string, body: () => Promise<void>): void => {
    test(sentence, () => explainFailure(lab, body))
  }

  before(async () => {
    lab = await Lab.create({ hosts: ['96', '98'], plugin: 'before docker' })
    ;[a, b] = [lab.host('96'), lab.host('98')]
    await explainFailure(lab, async () => {
      for (const name of NAMES) {
        for (const host of lab.hosts) {
          await createNetwork(host, name, ['--ipv6', ...NETWORKS[name](host)])
        }
      }
      for (const name of NAMES) {
        placed[name] = await Promise.all([
          place(a, name),
          place(a, name, `${name}-too`),
          place(b, name),
        ])
      }
    })
  })
  after(async () => {
    await lab.remove()
  })

  /** A network's subnets on a host; they stay. */
  const subnets = new Map<string, ReturnType<typeof subnetOf>>()
  const subnetsOf = async (host: DockerHost, name: Name): Promise<SubnetsOfBoth> => {
    const key = `${host.name} ${name}`
    const found = subnets.get(key) ?? subnetOf(lab, host, name)
    subnets.set(key, found)
    const { leased, leased6, inspected } = await found
    assert.ok(leased6, `${host.name} has no IPv6 subnet for ${name}`)
    return { leased, leased6, inspected }
  }
  const subnet6Of = async (host: DockerHost, name: Name): Promise<string> =>
    (await subnetsOf(host, name)).leased6
  const nth = (subnet6: string, at: bigint): string => formatIpv6(parseCidr6(subnet6).address + at)

  /** What etcd has of an overlay. */
  const recordOf = async (overlay: string): Promise<{ Pool: string; Pool6?: string }> =>
    JSON.parse(
      await lab.etcd.ctl('get', '--print-value-only', `/overlay-ts/overlays/${overlay}`),
    ) as { Pool: string; Pool6?: string }

  for (const name of NAMES) {
    inLab(`on ${name} containers reach each other over both, on one host and across`, () =>
      assertConnected(placed[name]),
    )
  }

  inLab('give a container an address of each, and one route for each IPv6 prefix', async () => {
    const assertGiven = async ({ network, container, host, ip6 }: Placed): Promise<void> => {
      const name = network as Name
      const other = await subnet6Of(host === a ? b : a, name)
      const subnet6 = await subnet6Of(host, name)
      const text = await inside(container, [
        'ip -6 -o address show scope global',
        'ip -6 route show',
      ])
      const addresses = [...text.matchAll(/ inet6 (\S+) /g)].map(([, address]) => address)
      assert.deepEqual(addresses, [`${ip6}/64`])
      assert.ok(containsIp6(parseCidr6(subnet6), parseIpv6(ip6)), `${ip6} in ${subnet6}`)
      const routes = [...text.matchAll(/^(\S+) via (\S+) dev eth0/gm)]
      const beyond = POOLED.includes(name) ? (await recordOf(name)).Pool6 : other
      const found = routes.map(([, to, via]) => [to, via])
      assert.deepEqual(found, [[beyond, nth(subnet6, 1n)]], text)
      assert.doesNotMatch(text, /^default/m)
    }
    await Promise.all(Object.values(placed).flat().map(assertGiven))
  })

  inLab('are shown by Docker, and stand in etcd under keys of both subnets', async () => {
    const etcd = (await lab.etcdText('/overlay-ts/')).split('\n')
    const assertShown = async (name: Name, host: DockerHost): Promise<void> => {
      const { leased, leased6 } = await subnetsOf(host, name)
      const format = '{{.EnableIPv6}}{{range .IPAM.Config}} {{.Subnet}}{{end}}'
      const shown = await host.docker('network', 'inspect', '-f', format, name)
      // Docker shows what it was asked for: with --subnet the overlay's pools.
      const both = name === 'shared' ? '10.40.0.0/16 fd00:40::/48' : `${leased} ${leased6}`
      assert.equal(shown, `true ${both}`)
      const [key, key6] = [leased, leased6].map((subnet) => subnet.replace('/', '-'))
      const lease = etcd.find((line) => line.startsWith(`/overlay-ts/subnets/${key}&${key6} `))
      assert.ok(lease, `the lease of ${leased} and ${leased6}`)
      const pool6 = POOLED.includes(name) ? (await recordOf(name)).Pool6 : undefined
      assert.equal((JSON.parse(lease.split(/ (.*)/)[1]!) as { Pool6?: string }).Pool6, pool6)
      for (const { ip, ip6 } of placed[name].filter((each) => each.host === host)) {
        const record = etcd.find((line) => line.startsWith(`/overlay-ts/endpoints/${key}/${ip} `))
        assert.match(record ?? '', new RegExp(`"IPv6":"${ip6}"`), name)
      }
    }
    await Promise.all(NAMES.flatMap((name) => lab.hosts.map((host) => assertShown(name, host))))
  })

  inLab('have as many IPv6 subnets as IPv4 ones, side by side in their pools', async () => {
    const pool6 = parseCidr6((await recordOf('web')).Pool6!)
    assert.match(formatCidr6(pool6), /^fd[\da-f]{2}:[\da-f]{1,4}:[\da-f]{1,4}::\/48$/)
    assert.equal((await recordOf('shared')).Pool6, 'fd00:40::/48')
    for (const name of ['web', 'shared'] as const) {
      const pools = await recordOf(name)
      const [pool, beyond] = [parseCidr(pools.Pool), parseCidr6(pools.Pool6!)]
      for (const host of lab.hosts) {
        const { leased, leased6 } = await subnetsOf(host, name)
        const index = (parseCidr(leased).base - pool.base) / 256
        assert.equal(leased6, `${formatIpv6(beyond.address + (BigInt(index) << 64n))}/64`)
      }
    }
  })

  inLab('are reached by their hosts, which have an address in each', async () => {
    for (const name of ['web', 'app'] as const) {
      const [near, , far] = placed[name]
      const [mine, other] = [await subnet6Of(a, name), await subnet6Of(b, name)]
      await assertReaches(a, [far.ip6], nth(mine, 0n))
      await assertReaches(b, [near.ip6], nth(other, 0n))
      await near.container.ping(nth(other, 0n))
    }
  })

  inLab('give the addresses that --ip6 asks for, of the own host alone', async () => {
    const [mine, other] = [await subnet6Of(a, 'shared'), await subnet6Of(b, 'shared')]
    const wanted = nth(mine, 0xfeedn)
    const named = await place(a, 'shared', 'named', argv`--ip6 ${wanted}`)
    assert.equal(named.ip6, wanted)
    await assertConnected([named, placed.shared[2]])
    const refused = async (name: string, ip6: string, sentence: RegExp): Promise<void> => {
      const attempt = a.run(name, { network: 'shared', options: argv`--ip6 ${ip6}` })
      assert.match(await refusalOf(attempt), sentence)
      await a.docker('rm', '-f', name)
    }
    await refused('taken', wanted, new RegExp(`${wanted} .*in use by a container`))
    await refused('bridge', nth(mine, 1n), new RegExp(`${nth(mine, 1n)} .*the gateway`))
    await refused('elsewhere', nth(other, 9n), /does not belong to any of this network's subnets/)
    await named.container.remove()
    const again = await place(a, 'shared', 'again', argv`--ip6 ${wanted}`)
    assert.equal(again.ip6, wanted)
    await again.container.remove()
    // And of a container that runs already.
    const { container } = await place(a, 'web', 'mover')
    await a.docker('network', 'connect', '--ip6', wanted, 'shared', 'mover')
    const [ip, ip6] = [await container.ip('shared'), await container.ip6('shared')]
    assert.equal(ip6, wanted)
    await assertConnected([{ network: 'shared', host: a, container, ip, ip6 }, placed.shared[2]])
    await container.remove()
  })

  inLab('take the part of a pool, the gateway and the reservations they are given', async () => {
    const pools = argv`${OURS} --ipv6 --subnet 10.60.0.0/16 --subnet fd00:60::/48`
    const chosen = argv`--ip-range fd00:60:0:7::/64 --gateway fd00:60:0:7::99 --aux-address kept=fd00:60:0:7::1`
    await createNetwork(a, 'parts', [...pools, ...chosen])
    await createNetwork(b, 'parts', pools)
    const [near, far] = await Promise.all([place(a, 'parts'), place(b, 'parts')])
    assert.equal(near.ip6, 'fd00:60:0:7::2')
    await assertConnected([near, far])
    await near.container.ping('fd00:60:0:7::99')
    const routes = await inside(near.container, ['ip -6 route show'])
    assert.match(routes, /^fd00:60::\/48 via fd00:60:0:7::99 dev eth0/m)
    await Promise.all([near, far].map(({ container }) => container.remove()))
    await Promise.all(lab.hosts.map((host) => host.docker('network', 'rm', 'parts')))
  })

  inLab('are made by a Compose file, with the MTU and the fixed address it gives', async () => {
    const [pool, pool6] = ['10.66.0.0/16', 'fd00:66::/48']
    const config = [{ subnet: pool }, { subnet: pool6, ip_range: 'fd00:66:0:7::/64' }]
    const composed = {
      name: 'composed',
      driver: 'overlay-ts',
      driver_opts: { 'com.docker.network.driver.mtu': '1400' },
      enable_ipv6: true,
      ipam: { driver: 'overlay-ts', options: { overlay: 'composed' }, config },
    }
    const networks = { composed: { ipv6_address: 'fd00:66:0:7::77' } }
    const service = { image: IMAGE, container_name: 'service', networks }
    const project = { version: '2.4', services: { service }, networks: { composed } }
    const folder = writeProject(a, 'six', project)
    await compose(a, folder, { words: 'up -d' })
    const words = argv`${OURS} --ipam-opt overlay=composed --ipv6 --subnet ${pool} --subnet ${pool6}`
    await createNetwork(b, 'composed', words)
    const [container, far] = [a.container('service'), await place(b, 'composed')]
    const [ip, ip6] = [await container.ip(), await container.ip6()]
    assert.equal(ip6, 'fd00:66:0:7::77')
    assert.equal(await container.exec('cat', '/sys/class/net/eth0/mtu'), '1400')
    await assertConnected([{ network: 'composed', host: a, container, ip, ip6 }, far])
    await far.container.remove()
    await b.docker('network', 'rm', 'composed')
    await compose(a, folder, { words: 'down -t 1' })
  })

  inLab('carry IPv6 of the MTU whole, and tell who sends more', async () => {
    const words = argv`${OURS} --ipam-opt overlay=thin --ipv6`
    await createNetwork(a, 'thin', words)
    await createNetwork(b, 'thin', argv`${words} -o mtu=1280`)
    const [wide, thin] = await Promise.all([place(a, 'thin'), place(b, 'thin')])
    const [near, , far] = placed.web
    // Of the hosts' network less what encapsulation takes; an echo request has 48 bytes of headers.
    await near.container.ping(far.ip6, { size: 1450 - 48 })
    assert.match(await refusalOf(sendUncut(near.container, far.ip6, 1451)), /Message too long/)
    await assertConnected([wide, thin])
    await untilToldMtu(wide.container, thin.ip6, 1280)
    await wide.container.ping(thin.ip6, { size: 1400 })
    await Promise.all([wide, thin].map(({ container }) => container.remove()))
    await Promise.all(lab.hosts.map((host) => host.docker('network', 'rm', 'thin')))
  })

  inLab('that cannot be are refused with a sentence, and leave nothing', async () => {
    let untouched = ''
    // What the tests before had is gone from etcd some time after it is gone here.
    await eventually(
      async () => {
        untouched = await recordsOf(lab)
        assert.doesNotMatch(untouched, /"Overlay":"(?!(?:web|shared|out|routed|app)")/)
        const endpoints = untouched.match(/^\S+\/endpoints\//gm) ?? []
        assert.equal(endpoints.length, Object.values(placed).flat().length)
      },
      { what: 'the networks of all tests, and no others, to be in etcd' },
    )
    await untilBridgesPublished(lab)
    untouched = await recordsOf(lab)
    const [first, second] = [await subnet6Of(b, 'shared'), await subnet6Of(b, 'app')]
    const no = argv`${OURS} --ipam-opt overlay=no`
    // docker sends several subnets in any order.
    const refusals: [readonly string[], RegExp][] = [
      [
        argv`${no} --subnet fd00:50::/48 --subnet fd00:51::/48`,
        /fd00:5[01]::\/48, not fd00:5[01]::\/48; a network has one --subnet of each family: give one/,
      ],
      [
        argv`${OURS} --subnet 10.61.0.0/16 --subnet fd00:50::/48 --subnet fd00:51::/48`,
        /a network has one --subnet of each family: give one/,
      ],
      [
        argv`--subnet 172.30.50.0/24 --subnet fd00:50::/64 --subnet fd00:51::/64`,
        /asks for fd00:50::\/64 and fd00:51::\/64/,
      ],
      [argv`${OURS} --ipam-opt overlay=web --subnet fd00:52::/48`, /join it with: docker network/],
      [argv`${OURS} --subnet fd00:53::/48`, /name the overlay with --ipam-opt overlay=NAME/],
      [argv`${no} --subnet fd00:40:0:7::/64`, /fd00:40:0:7::\/64 overlaps .*shared/],
      [argv`${no} --subnet fd00:53::/120`, /length from \/16 to \/112/],
      [argv`${no} --subnet fd00:54::/48 --gateway fd00:54:0:ffff::1`, /fd00:54:0:ffff::1/],
      [argv`${no} -o mtu=1279`, /1280/],
      [argv`${NETWORKS.shared()} --ip-range ${first}`, /held by .*host-98/],
      [argv`--subnet 172.30.50.0/24 --subnet ${second}`, /overlaps .*host-98/],
      [argv`--ipam-driver null -o overlay=no`, /null ipam driver does not handle IPv6/],
    ]
    for (const [words, sentence] of refusals) {
      const refusal = await refusalOf(createNetwork(a, 'no', ['--ipv6', ...words]))
      assert.match(refusal, sentence, words.join(' '))
      await eventually(async () => assert.equal(await recordsOf(lab), untouched), {
        what: `nothing to be left of ${words.join(' ')}`,
        timeout: 30_000,
      })
    }
  })
})

/** All that etcd has but who allocated last and the hosts' signs of life. */
async function recordsOf(lab: Lab): Promise<string> {
  const lines = (await lab.etcdText('/overlay-ts/')).split('\n')
  return lines.filter((line) => !/^\S+\/(allocator|hosts\/\S+) /.test(line)).join('\n')
}
