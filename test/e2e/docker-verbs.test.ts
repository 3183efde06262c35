import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { argv } from '../../lab/argv.ts'
import type { DockerHost } from '../../lab/docker-host.ts'
import { IMAGE } from '../../lab/image.ts'
import { Lab } from '../../lab/lab.ts'
import { explainFailure } from '../support/lab.ts'
import { eventually } from '../support/wait.ts'
import { assertReaches, assertSilent } from './support/answers.ts'
import { inside } from './support/inside.ts'
import { createNetwork, createRepeating } from './support/network-forms.ts'
import { pluginState } from './support/plugin-state.ts'
import { resolvedIn } from './support/resolved-in.ts'
import { refusalOf } from './support/refusal-of.ts'
import { subnetOf } from './support/subnet-of.ts'

const OURS = argv`--ipam-driver overlay-ts`

describe('the verbs and flags of docker network, on two Docker hosts', () => {
  let lab: Lab
  let a: DockerHost
  let b: DockerHost
  const inLab = (sentence: string, body: () => Promise<void>): void => {
    test(sentence, () => explainFailure(lab, body))
  }

  before(async () => {
    lab = await Lab.create({ hosts: ['96', '98'], plugin: 'before docker' })
    a = lab.host('96')
    b = lab.host('98')
  })
  after(async () => {
    await lab.remove()
  })

  const onBoth = async (network: string, words: readonly string[] = []): Promise<void> => {
    for (const host of [a, b]) await createRepeating(host, network, words)
  }
  const removeBoth = async (network: string): Promise<void> => {
    await Promise.all([a, b].map((host) => host.docker('network', 'rm', network)))
  }
  const inspect = async <T>(host: DockerHost, kind: string, format: string, name: string) =>
    JSON.parse(await host.docker(kind, 'inspect', '-f', `{{json ${format}}}`, name)) as T

  /** A container on each host reaches the other; both are removed. */
  async function assertPair(network: string): Promise<void> {
    const pair = await Promise.all([a, b].map((host) => host.run(`in-${network}`, { network })))
    const ips = await Promise.all(pair.map((member) => member.ip()))
    await assertReaches(pair[0]!, [ips[1]!], ips[0]!)
    await assertReaches(pair[1]!, [ips[0]!], ips[1]!)
    await Promise.all(pair.map((member) => member.remove()))
  }

  /** A refused command leaves nothing of a network on the host or in etcd. */
  async function assertNothingLeft(name: string): Promise<void> {
    await eventually(
      async () => {
        assert.doesNotMatch(await lab.etcdText(), /\/(subnets|overlays|holders)\//)
        assert.deepEqual((await pluginState(a)).subnets, [])
      },
      { what: `nothing to be left of ${name}`, timeout: 30_000 },
    )
    assert.equal(await a.docker('network', 'ls', '-q', '--filter', `name=^${name}$`), '')
  }

  inLab('create: an unknown option is an error that names the known ones', async () => {
    for (const [words, said] of [
      [
        argv`-o overlai=web`,
        /no option -o overlai=; did you mean -o overlay=\? \(the options of -o are overlay, vni, mtu, gateway, subnet-len\)/,
      ],
      [argv`-o encrypted`, /no option -o encrypted=; leave it out/],
      [argv`-o pool-len=20`, /write it behind the other flag: --ipam-opt pool-len=/],
      [
        argv`${OURS} --ipam-opt overlay=web --ipam-opt pool=20`,
        /no option --ipam-opt pool=; .*\(the options of --ipam-opt are overlay, vni, pool-len, subnet-len\)/,
      ],
      [argv`${OURS} --ipam-opt overlay=web -o subnetlen=26`, /did you mean -o subnet-len=\?/],
      [argv`-o gateway=nowhere`, /-o gateway=nowhere is no gateway/],
    ] as const) {
      assert.match(await refusalOf(createNetwork(a, 'slip', words)), said)
    }
    await assertNothingLeft('slip')
    // Docker's own keys are not ours to judge.
    await createNetwork(a, 'keys', argv`-o com.docker.network.bridge.name=x`)
    await a.docker('network', 'rm', 'keys')
  })

  inLab('create -o gateway=docker leaves the way out and the ports to Docker', async () => {
    await createNetwork(a, 'ways', argv`${OURS} --ipam-opt overlay=ways -o gateway=docker`)
    const server = await a.run('server', { network: 'ways', options: argv`-p 8080:80` })
    const format = '{{(index .IPAM.Config 0).Gateway}}'
    const gateway = await a.docker('network', 'inspect', '-f', format, 'docker_gwbridge')
    const routes = await inside(server, ['ip route show default'])
    assert.match(routes, new RegExp(`^default via ${gateway} dev eth1\\s*$`))
    assert.match(await a.docker('port', 'server', '80/tcp'), /^0\.0\.0\.0:8080$/m)
    const shown = await a.docker('ps', '--filter', 'name=server', '--format', '{{.Ports}}')
    assert.match(shown, /0\.0\.0\.0:8080->80\/tcp/)
    // Through Docker's bridge the world sees the host.
    const outside = await b.run('outside', { network: 'host' })
    await assertReaches(server, [b.ip], a.ip)
    await eventually(
      async () => {
        const url = `http://${a.ip}:8080/cgi-bin/name`
        assert.equal(await b.exec(...argv`timeout 3 busybox wget -q -O - ${url}`), 'server')
      },
      { what: 'the published port to answer', timeout: 30_000 },
    )
    await Promise.all([server.remove(), outside.remove()])
    await a.docker('network', 'rm', 'ways')
  })

  inLab('create -o vni= and --ipam-opt vni= choose the VNI of a new overlay', async () => {
    await onBoth('pooled', argv`${OURS} --ipam-opt overlay=pooled --ipam-opt vni=5001`)
    await onBoth('plain', argv`-o overlay=plain -o vni=5002`)
    await eventually(
      async () => {
        for (const host of [a, b]) {
          const { subnets } = await pluginState(host)
          assert.deepEqual(subnets.map(({ overlay, vni }) => `${overlay} ${vni}`).toSorted(), [
            'plain 5002',
            'plain 5002',
            'pooled 5001',
            'pooled 5001',
          ])
        }
      },
      { what: 'both hosts to have the map', timeout: 30_000 },
    )
    await Promise.all([assertPair('pooled'), assertPair('plain')])
    const refusals = [
      [argv`-o overlay=other -o vni=5001`, /vni=5001 is taken by overlay pooled/],
      [argv`-o overlay=plain -o vni=5003`, /overlay plain exists already and has the VNI 5002/],
      [
        argv`${OURS} --ipam-opt overlay=pooled --ipam-opt vni=5003`,
        /overlay pooled exists already and has the VNI 5001, not 5003; write vni=5001/,
      ],
      [
        argv`${OURS} --ipam-opt overlay=pooled -o vni=5003`,
        /-o vni=5003 comes after the overlay pooled got the VNI 5001/,
      ],
      [argv`-o vni=5003`, /-o vni=5003 needs the name of the overlay .*: add -o overlay=NAME/],
      [argv`-o overlay=x -o vni=0`, /-o vni=0 is not a VXLAN network identifier/],
    ] as const
    for (const [words, said] of refusals) {
      assert.match(await refusalOf(createNetwork(a, 'no', words)), said)
    }
    await Promise.all(['pooled', 'plain'].map(removeBoth))
    await assertNothingLeft('no')
  })

  inLab('create -o subnet-len= and --ipam-opt subnet-len= give the length asked for', async () => {
    await createNetwork(a, 'bare', argv`--ipam-driver null -o overlay=bare -o subnet-len=26`)
    assert.match((await subnetOf(lab, a, 'bare')).leased, /\/26$/)
    await createNetwork(b, 'bare', argv`${OURS} --ipam-opt subnet-len=26 -o overlay=bare`)
    assert.match((await subnetOf(lab, b, 'bare')).leased, /\/26$/)
    await assertPair('bare')
    await removeBoth('bare')
    for (const [words, said] of [
      [
        argv`-o subnet-len=26`,
        /comes after this host's subnet was chosen, which is a \/\d+; write/,
      ],
      [argv`${OURS} -o subnet-len=26`, /which is a \/24; write it as --ipam-opt subnet-len=/],
      [argv`${OURS} --ipam-opt pool-len=20`, /needs the name .*: add --ipam-opt overlay=NAME/],
    ] as const) {
      assert.match(await refusalOf(createNetwork(a, 'no', words)), said)
    }
    await assertNothingLeft('no')
  })

  inLab(
    'create with several --subnet is refused, and overlapping ones by docker itself',
    async () => {
      for (const [words, said] of [
        [
          argv`${OURS} --subnet 10.61.0.0/16 --subnet 10.62.0.0/16`,
          /one subnet on each host; give one --subnet/,
        ],
        [
          argv`${OURS} --ipam-opt overlay=several --subnet 10.61.0.0/16 --subnet 10.62.0.0/16`,
          /not 10\.6[12]\.0\.0\/16; a network has one --subnet of each family: give one/,
        ],
        [
          argv`--subnet 10.61.0.0/24 --subnet 10.62.0.0/24`,
          /10\.61\.0\.0\/24 and 10\.62\.0\.0\/24; give one --subnet/,
        ],
        [argv`--subnet 10.61.0.0/16 --subnet 10.61.7.0/24`, /overlapping subnet/],
        [argv`${OURS} --subnet 10.61.0.0/16 --subnet 10.61.0.0/16`, /overlapping subnet/],
      ] as const) {
        assert.match(await refusalOf(createNetwork(a, 'several', words)), said)
      }
      await assertNothingLeft('several')
      // One after the other, too: a part of a pool is the pool's, and a plain subnet its host's.
      const words = argv`${OURS} --subnet 10.61.0.0/16 --ip-range 10.61.3.0/24 -o overlay=pool`
      await createNetwork(a, 'pool', words)
      const part = createNetwork(b, 'part', argv`${OURS} --subnet 10.61.128.0/17`)
      assert.match(await refusalOf(part), /the pool 10\.61\.128\.0\/17 overlaps overlay pool/)
      const plain = createNetwork(b, 'part', argv`--subnet 10.61.7.0/24`)
      assert.match(
        await refusalOf(plain),
        /10\.61\.7\.0\/24, which Docker or --subnet chose, overlaps overlay pool .*with --subnet give another/,
      )
      await a.docker('network', 'rm', 'pool')
      await assertNothingLeft('part')
    },
  )

  inLab(
    'create takes --label, --attachable and --scope local, and leaves swarm to Docker',
    async () => {
      await onBoth('labelled', argv`--label team=red --attachable --scope local`)
      const listed = await a.docker(
        'network',
        'ls',
        '--filter',
        'label=team=red',
        '--format',
        '{{.Name}} {{.Driver}} {{.Scope}}',
      )
      assert.equal(listed, 'labelled overlay-ts local')
      assert.deepEqual(await inspect(a, 'network', '.Labels', 'labelled'), { team: 'red' })
      assert.equal(await inspect(a, 'network', '.Attachable', 'labelled'), true)
      await assertPair('labelled')
      await removeBoth('labelled')
      for (const words of [argv`--scope swarm`, argv`--ingress --scope swarm`]) {
        assert.match(
          await refusalOf(createNetwork(a, 'no', words)),
          /swarm is not active|not a swarm manager|can only be global scope/,
        )
      }
    },
  )

  inLab('create --config-only keeps the words, and --config-from uses them', async () => {
    const words = argv`${OURS} --ipam-opt overlay=kept -o mtu=1400`
    await Promise.all(
      [a, b].map((host) => host.docker('network', 'create', '--config-only', ...words, 'words')),
    )
    await assertNothingLeft('kept')
    await onBoth('kept', argv`--config-from words --internal`)
    const member = await a.run('member', { network: 'kept' })
    assert.equal(await member.exec('cat', '/sys/class/net/eth0/mtu'), '1400')
    assert.doesNotMatch(await inside(member, ['ip route']), /^default/m)
    await member.remove()
    await assertPair('kept')
    // Docker keeps the words as long as somebody uses them.
    assert.match(await refusalOf(a.docker('network', 'rm', 'words')), /in use/)
    await removeBoth('kept')
    await removeBoth('words')
  })

  inLab('connect and disconnect plug a running container in and out', async () => {
    await onBoth('first')
    await onBoth('second', argv`${OURS} --subnet 10.63.0.0/16`)
    const [mover, peer] = [
      await a.run('mover', { network: 'first' }),
      await b.run('peer', { network: 'second' }),
    ]
    const neighbour = await a.run('neighbour', { network: 'second' })
    const wanted = (await subnetOf(lab, a, 'second')).leased.replace(/\d+\/\d+$/, '77')
    const words = argv`--ip ${wanted} --alias moved --alias shifted --link neighbour:nextdoor --link-local-ip 169.254.7.7 --driver-opt any=thing`
    await a.docker('network', 'connect', ...words, 'second', 'mover')
    assert.equal(await mover.ip('second'), wanted)
    await assertReaches(peer, [wanted], await peer.ip())
    await assertReaches(mover, [await peer.ip()], wanted)
    assert.match(await inside(mover, ['ip -o address']), / 169\.254\.7\.7\/16 /)
    for (const name of ['mover', 'moved', 'shifted']) {
      assert.deepEqual(await resolvedIn(neighbour, name), [wanted])
    }
    assert.deepEqual(await resolvedIn(mover, 'nextdoor'), [await neighbour.ip()])
    const again = a.docker('network', 'connect', 'second', 'mover')
    assert.match(await refusalOf(again), /already exists in network second/)

    await a.docker('network', 'disconnect', 'second', 'mover')
    await assertSilent(peer, [wanted])
    assert.deepEqual(Object.keys(await mover.networks()), ['first'])
    assert.match(
      await refusalOf(a.docker('network', 'disconnect', 'second', 'mover')),
      /is not connected/,
    )
    await assertReaches(peer, [await neighbour.ip()], await peer.ip())
    await Promise.all([mover, peer, neighbour].map((each) => each.remove()))
    await removeBoth('first')
    await removeBoth('second')
  })

  inLab(
    'connect and disconnect of a container that does not run count from its start on',
    async () => {
      await onBoth('early')
      await a.docker(...argv`create --name later --hostname later ${IMAGE}`)
      await a.docker('network', 'connect', 'early', 'later')
      await a.docker('network', 'disconnect', 'bridge', 'later')
      assert.deepEqual(await inspect(a, 'network', '.Containers', 'early'), {})
      await a.docker('start', 'later')
      const later = a.container('later')
      const peer = await b.run('peer', { network: 'early' })
      await assertReaches(peer, [await later.ip('early')], await peer.ip())
      await a.docker('stop', '-t', '5', 'later')
      await a.docker('network', 'disconnect', '-f', 'early', 'later')
      await a.docker('start', 'later')
      assert.deepEqual(Object.keys(await later.networks()), [])
      await Promise.all([later.remove(), peer.remove()])
      await removeBoth('early')
    },
  )

  inLab('containers are refused where --ipam-opt is heeded by nobody', async () => {
    await createNetwork(a, 'unheeded', argv`--ipam-opt overlay=web`)
    const refused = a.docker(...argv`run --rm --network unheeded ${IMAGE} true`)
    const said =
      /the network unheeded was made with --ipam-opt overlay=web, which nothing heeds without --ipam-driver overlay-ts; remove the network/
    assert.match(await refusalOf(refused), said)
    await a.docker('network', 'rm', 'unheeded')
    await createNetwork(a, 'unheeded', argv`${OURS} --ipam-opt overlay=web`)
    await a.docker(...argv`run --rm --network unheeded ${IMAGE} true`)
    await a.docker('network', 'rm', 'unheeded')
    await assertNothingLeft('unheeded')
  })

  inLab('a container in five networks of mixed drivers reaches the peers of each', async () => {
    const forms = {
      five1: argv`${OURS} --ipam-opt overlay=five1`,
      five2: [],
      five3: argv`--ipam-driver null -o overlay=five3 --internal`,
    }
    for (const [name, words] of Object.entries(forms)) await onBoth(name, words)
    await a.docker(...argv`network create five4`)
    await a.docker(...argv`network create -d bridge --internal five5`)
    const names = [...Object.keys(forms), 'five4', 'five5']
    const five = await a.run('five', { network: names })
    const own = await five.networks()
    assert.deepEqual(Object.keys(own).toSorted(), names)
    const peers = await Promise.all(
      names.map((network, at) => (at < 3 ? b : a).run(`of-${network}`, { network })),
    )
    await Promise.all(
      peers.map(async (peer, at) => {
        await assertReaches(peer, [own[names[at]!]!], await peer.ip())
        await assertReaches(five, [await peer.ip()], own[names[at]!]!)
      }),
    )
    // What is in the middle goes, and the rest stays as it was.
    await a.docker('network', 'disconnect', 'five2', 'five')
    await assertSilent(peers[1]!, [own['five2']!])
    for (const at of [0, 2])
      await assertReaches(peers[at]!, [own[names[at]!]!], await peers[at]!.ip())
    await Promise.all([five, ...peers].map((each) => each.remove()))
    await Promise.all(Object.keys(forms).map(removeBoth))
    await a.docker('network', 'rm', 'five4', 'five5')
  })

  inLab('ls, inspect, rm and prune show and remove what is there', async () => {
    const words = argv`${OURS} --ipam-opt overlay=shown --subnet 10.64.0.0/16`
    await onBoth('shown', words)
    await createNetwork(a, 'unused')
    const member = await a.run('member', { network: 'shown' })
    const ls = await a.docker(
      'network',
      'ls',
      '--filter',
      'driver=overlay-ts',
      '--format',
      '{{.Name}}',
    )
    assert.deepEqual(ls.split('\n').toSorted(), ['shown', 'unused'])
    const containers = await inspect<Record<string, Record<string, string>>>(
      a,
      'network',
      '.Containers',
      'shown',
    )
    const [shown] = Object.values(containers)
    assert.equal(shown!['Name'], 'member')
    assert.equal(shown!['IPv4Address'], `${await member.ip()}/16`)
    assert.equal(shown!['MacAddress'], await member.exec('cat', '/sys/class/net/eth0/address'))
    assert.deepEqual(await inspect(a, 'network', '.IPAM.Options', 'shown'), { overlay: 'shown' })
    assert.equal(await inspect(a, 'network', '.IPAM.Driver', 'shown'), 'overlay-ts')
    const verbose = await a.docker('network', 'inspect', '-v', 'shown')
    assert.match(verbose, /"Driver": "overlay-ts"/)

    assert.match(await refusalOf(a.docker('network', 'rm', 'shown')), /has active endpoints/)
    await a.docker('network', 'prune', '-f', '--filter', 'label=no-such')
    assert.match(await a.docker('network', 'prune', '-f'), /unused/)
    assert.equal(await a.docker('network', 'ls', '-q', '--filter', 'name=unused'), '')
    // The network in use is as it was.
    const peer = await b.run('peer', { network: 'shown' })
    await assertReaches(peer, [await member.ip()], await peer.ip())
    await Promise.all([member.remove(), peer.remove()])
    await a.docker('network', 'prune', '-f')
    await b.docker('network', 'rm', 'shown')
    await assertNothingLeft('shown')
  })
})
