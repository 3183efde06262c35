import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { argv } from '../../lab/argv.ts'
import type { DockerHost } from '../../lab/docker-host.ts'
import { Lab } from '../../lab/lab.ts'
import { containsIp, formatCidr, overlaps, parseCidr } from '../../src/net/cidr.ts'
import { formatIpv4, parseIpv4 } from '../../src/net/ipv4.ts'
import { macOfIpv4 } from '../../src/net/mac.ts'
import { explainFailure } from '../support/lab.ts'
import { assertReaches } from './support/answers.ts'
import { inside } from './support/inside.ts'
import { createNetwork, createRepeating } from './support/network-forms.ts'
import { learnedMtu, untilToldMtu } from './support/path-mtu.ts'
import { refusalOf } from './support/refusal-of.ts'
import { subnetOf } from './support/subnet-of.ts'

const OURS = argv`--ipam-driver overlay-ts`

describe('addresses on two Docker hosts', () => {
  let lab: Lab
  let a: DockerHost
  let b: DockerHost
  const inLab = (sentence: string, body: () => Promise<void>): void => {
    test(sentence, () => explainFailure(lab, body))
  }

  before(async () => {
    lab = await Lab.create({ hosts: ['96', '98'] })
    // At this level every call of Docker's is in the log.
    await Promise.all(lab.hosts.map((host) => host.startPlugin({ env: { LOG_LEVEL: 'debug' } })))
    a = lab.host('96')
    b = lab.host('98')
  })
  after(async () => {
    await lab.remove()
  })

  inLab('are given where a container asks for one of its host', async () => {
    // Docker allows --ip on networks that were made with --subnet, and on no others.
    await onBoth('web', [...OURS, ...argv`--ipam-opt overlay=web --subnet 10.57.0.0/16`])
    const base = await baseOf(a, 'web')
    const wanted = formatIpv4(base + 77)
    const named = await a.run('named', { network: 'web', options: argv`--ip ${wanted}` })
    assert.equal(await named.ip(), wanted)
    const peer = await b.run('peer', { network: 'web' })
    await assertReaches(peer, [wanted], await peer.ip())

    const taken = refusalOf(a.run('taken', { network: 'web', options: argv`--ip ${wanted}` }))
    assert.match(await taken, new RegExp(`${wanted} .*in use by a container`))
    const gateway = formatIpv4(base + 1)
    const ofBridge = refusalOf(a.run('bridge', { network: 'web', options: argv`--ip ${gateway}` }))
    assert.match(await ofBridge, new RegExp(`${gateway} .*the gateway`))
    await removeAll(a, ['named', 'taken', 'bridge'])
    // It can be had again at once by name, and is otherwise given last.
    const again = await a.run('again', { network: 'web', options: argv`--ip ${wanted}` })
    assert.equal(await again.ip(), wanted)
    await removeAll(a, ['again'])
    await removeAll(b, ['peer'])
  })

  inLab("of another host's subnet, or of none, are refused", async () => {
    const remote = formatIpv4((await baseOf(b, 'web')) + 9)
    // Docker knows the subnet of this host and says so itself.
    const said = /Invalid address .* does not belong to any of this network's subnets/
    for (const [name, ip] of [
      ['elsewhere', remote],
      ['nowhere', '192.0.2.7'],
    ] as const) {
      assert.match(
        await refusalOf(a.run(name, { network: 'web', options: argv`--ip ${ip}` })),
        said,
      )
    }
    await removeAll(a, ['elsewhere', 'nowhere'])
    await removeBoth('web')
  })

  inLab('of the bridge are chosen by --gateway, within the subnet', async () => {
    const words = argv`${OURS} --subnet 10.50.0.0/16 --ip-range 10.50.7.0/24 --gateway 10.50.7.200`
    await createNetwork(a, 'inner', words)
    await createNetwork(b, 'inner', argv`${OURS} --subnet 10.50.0.0/16`)
    assert.match(await a.exec('ip', '-o', 'address'), / 10\.50\.7\.200\/24 /)
    assert.equal((await subnetOf(lab, a, 'inner')).leased, '10.50.7.0/24')
    await assertPair('inner')
    await removeBoth('inner')
  })

  inLab('of the bridge may be one address of the pool on every host', async () => {
    await onBoth('anycast', argv`${OURS} --subnet 10.51.0.0/16 --gateway 10.51.0.1`)
    for (const host of [a, b]) {
      assert.match(await host.exec('ip', '-o', 'address'), / 10\.51\.0\.1\/32 /)
    }
    await assertPair('anycast', '10.51.0.1')
    await removeBoth('anycast')
    const outside = createNetwork(a, 'no', argv`${OURS} --subnet 10.51.0.0/16 --gateway 192.0.2.1`)
    assert.match(await refusalOf(outside), /192\.0\.2\.1/)
  })

  inLab('set aside by --aux-address are given to no container', async () => {
    const words = argv`${OURS} --subnet 10.52.0.0/16 --ip-range 10.52.3.0/29 --aux-address printer=10.52.3.2`
    await createNetwork(a, 'aux', words)
    const refusal = await refusalOf(
      a.run('thief', { network: 'aux', options: argv`--ip 10.52.3.2` }),
    )
    assert.match(refusal, /10\.52\.3\.2 .*--aux-address/)
    await removeAll(a, ['thief'])
    const members = ['m1', 'm2', 'm3', 'm4'].map((name) => a.run(name, { network: 'aux' }))
    const given = await Promise.all(members.map(async (member) => (await member).ip()))
    assert.deepEqual(given.toSorted(), ['10.52.3.3', '10.52.3.4', '10.52.3.5', '10.52.3.6'])
    await removeAll(a, ['m1', 'm2', 'm3', 'm4'])
    await a.docker('network', 'rm', 'aux')
  })

  inLab("come from the part of --subnet that --ip-range makes this host's", async () => {
    const pool = argv`${OURS} --subnet 10.53.0.0/16`
    await createNetwork(a, 'range', [...pool, ...argv`--ip-range 10.53.96.0/24`])
    const overlapping = createNetwork(b, 'range', [...pool, ...argv`--ip-range 10.53.96.128/25`])
    assert.match(await refusalOf(overlapping), /10\.53\.96\.128\/25 .*held by host host-96/)
    const outside = createNetwork(b, 'range', [...pool, ...argv`--ip-range 10.54.0.0/24`])
    assert.match(await refusalOf(outside), /10\.54\.0\.0\/24|10\.54/)
    await createNetwork(b, 'range', [...pool, ...argv`--ip-range 10.53.98.0/24`])
    assert.equal((await subnetOf(lab, a, 'range')).leased, '10.53.96.0/24')
    assert.equal((await subnetOf(lab, b, 'range')).leased, '10.53.98.0/24')
    await assertPair('range')
    await removeBoth('range')
  })

  inLab('go with the MAC that was asked for, or one that follows from them', async () => {
    for (const [network, words] of [
      ['mac-web', [...OURS, ...argv`--ipam-opt overlay=mac-web`]],
      ['mac-app', []],
    ] as const) {
      await onBoth(network, words)
      const options = argv`--mac-address 02:11:22:33:44:55`
      const [chosen, plain, peer] = await Promise.all([
        a.run('chosen', { network, options }),
        a.run('plain', { network }),
        b.run('peer', { network }),
      ])
      const macs = [
        [chosen, '02:11:22:33:44:55'],
        [plain, macOfIpv4(parseIpv4(await plain.ip()))],
      ] as const
      for (const [container, mac] of macs) {
        assert.equal(await container.exec('cat', '/sys/class/net/eth0/address'), mac)
        const shown = `{{(index .NetworkSettings.Networks "${network}").MacAddress}}`
        assert.equal(await a.docker('inspect', '-f', shown, container.name), mac)
      }
      await assertReaches(peer, [await chosen.ip(), await plain.ip()], await peer.ip())
      await Promise.all([removeAll(a, ['chosen', 'plain']), removeAll(b, ['peer'])])
      await removeBoth(network)
    }
  })

  inLab('of an internal network lead to its overlay and nowhere else', async () => {
    for (const [network, words] of [
      ['inner-web', [...OURS, ...argv`--ipam-opt overlay=inner-web`]],
      ['inner-app', []],
    ] as const) {
      await onBoth(network, [...words, '--internal'])
      const [member, peer] = await Promise.all([
        a.run('member', { network }),
        b.run('peer', { network }),
      ])
      await assertReaches(member, [await peer.ip()], await member.ip())
      await assertReaches(peer, [await member.ip()], await peer.ip())
      assert.doesNotMatch(await inside(member, ['ip route']), /^default/m)
      assert.equal(await member.reaches(b.ip), false)
      const links = await inside(member, ['ip -o link show type veth'])
      assert.equal(links.split('\n').length, 1, links)
      await Promise.all([removeAll(a, ['member']), removeAll(b, ['peer'])])
      await removeBoth(network)
    }
  })

  inLab('see the MTU that -o mtu= gives, and others keep within it', async () => {
    const words = [...OURS, ...argv`--ipam-opt overlay=thin`]
    await createNetwork(a, 'thin', [...words, ...argv`-o mtu=1280`])
    await createNetwork(b, 'thin', words)
    const [thin, wide] = await Promise.all([
      a.run('thin', { network: 'thin' }),
      b.run('wide', { network: 'thin' }),
    ])
    assert.equal(await thin.exec('cat', '/sys/class/net/eth0/mtu'), '1280')
    assert.equal(await wide.exec('cat', '/sys/class/net/eth0/mtu'), '1450')
    const ip = await thin.ip()
    await assertReaches(wide, [ip], await wide.ip())
    await thin.ping(await wide.ip(), { size: 1400 })
    // What may not be cut is answered with the size that passes, and from then on cut by its sender.
    assert.equal(await learnedMtu(wide, ip), null)
    await untilToldMtu(wide, ip, 1280)
    await wide.ping(ip, { size: 1400 })
    await removeAll(a, ['thin'])
    await removeAll(b, ['wide'])
    await removeBoth('thin')
    for (const mtu of ['9000', '100', 'big']) {
      const refusal = await refusalOf(createNetwork(a, 'no', argv`-o mtu=${mtu}`))
      assert.match(refusal, new RegExp(`-o mtu=${mtu} is not`))
    }
  })

  inLab('run out with a sentence that counts them and says how to have more', async () => {
    const words = [...OURS, ...argv`--ipam-opt overlay=small --ipam-opt subnet-len=29`]
    await createNetwork(a, 'small', words)
    const { leased } = await subnetOf(lab, a, 'small')
    assert.match(leased, /\/29$/)
    const names = ['s1', 's2', 's3', 's4', 's5']
    await Promise.all(names.map((name) => a.run(name, { network: 'small' })))
    const refusal = await refusalOf(a.run('s6', { network: 'small' }))
    assert.match(
      refusal,
      new RegExp(
        `${leased} has no free address: 5 of 5 are used; remove containers .*--ipam-opt subnet-len=28 in a pool of /26 .*--ipam-driver null, -o subnet-len=`,
      ),
    )
    for (const [network, remedy] of [
      ['larger', [...OURS, ...argv`--ipam-opt overlay=larger --ipam-opt subnet-len=28`]],
      [
        'pool',
        [...OURS, ...argv`--ipam-opt overlay=pool --ipam-opt subnet-len=28 --ipam-opt pool-len=26`],
      ],
      ['unmanaged', argv`--ipam-driver null -o overlay=unmanaged -o subnet-len=28`],
    ] as const) {
      await createNetwork(a, network, remedy)
      assert.match((await subnetOf(lab, a, network)).leased, /\/28$/)
      await a.docker('network', 'rm', network)
    }
    await removeAll(a, ['s6', 's3'])
    const next = await a.run('s7', { network: 'small' })
    assert.ok(containsIp(parseCidr(leased), parseIpv4(await next.ip())))
    await removeAll(a, ['s1', 's2', 's4', 's5', 's7'])
    await a.docker('network', 'rm', 'small')
  })

  inLab('of a second network of one host never make Docker ask without end', async () => {
    const forms = [
      [...OURS, ...argv`--ipam-opt overlay=first`],
      [...OURS, ...argv`--ipam-opt overlay=second`],
      OURS,
      OURS,
      argv`${OURS} --subnet 10.55.0.0/16`,
      [],
      [],
    ]
    const pools = (): number => a.pluginLog().match(/IpamDriver\.RequestPool/g)?.length ?? 0
    const before = pools()
    for (const [at, words] of forms.entries()) await createNetwork(a, `many-${at}`, words)
    assert.equal(pools() - before, 5, 'pools that Docker asked for')
    const subnets = await Promise.all(
      forms.map(async (_, at) => parseCidr((await subnetOf(lab, a, `many-${at}`)).leased)),
    )
    subnets.forEach((one, at) => {
      for (const other of subnets.slice(at + 1)) {
        assert.ok(!overlaps(one, other), subnets.map(formatCidr).join(', '))
      }
    })
    await a.docker('network', 'rm', ...forms.map((_, at) => `many-${at}`))
  })

  inLab(
    'that a route of the host covers are refused by name, and not asked for again',
    async () => {
      await a.exec(...argv`ip route add 10.56.0.0/16 dev eth0 scope link`)
      const refusal = await refusalOf(createNetwork(a, 'no', argv`${OURS} --subnet 10.56.0.0/16`))
      assert.match(refusal, /10\.56\.0\.0\/16.*eth0/)
      await a.exec(...argv`ip route del 10.56.0.0/16 dev eth0 scope link`)
      await createNetwork(a, 'yes', argv`${OURS} --subnet 10.56.0.0/16`)
      await a.docker('network', 'rm', 'yes')
    },
  )

  async function onBoth(network: string, words: readonly string[]): Promise<void> {
    for (const host of [a, b]) await createRepeating(host, network, words)
  }

  async function removeBoth(network: string): Promise<void> {
    await Promise.all([a, b].map((host) => host.docker('network', 'rm', network)))
  }

  /** A container on each host reaches the other, and the gateway if one is given. */
  async function assertPair(network: string, gateway?: string): Promise<void> {
    const [left, right] = await Promise.all([a, b].map((host) => host.run('pair', { network })))
    await assertReaches(left!, [await right!.ip()], await left!.ip())
    await assertReaches(right!, [await left!.ip()], await right!.ip())
    if (gateway !== undefined) await Promise.all([left!.ping(gateway), right!.ping(gateway)])
    await Promise.all([a, b].map((host) => removeAll(host, ['pair'])))
  }

  async function baseOf(host: DockerHost, network: string): Promise<number> {
    return parseCidr((await subnetOf(lab, host, network)).leased).base
  }
})

async function removeAll(host: DockerHost, names: readonly string[]): Promise<void> {
  await host.docker('rm', '-f', ...names)
}
