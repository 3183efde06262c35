import assert from 'node:assert/strict'
import { rmSync, writeFileSync } from 'node:fs'
import { after, before, describe, test } from 'node:test'
import { argv } from '../../lab/argv.ts'
import type { Container } from '../../lab/container.ts'
import type { DockerHost } from '../../lab/docker-host.ts'
import { PEER_PORT, udpQuestion } from '../../lab/image.ts'
import { Lab } from '../../lab/lab.ts'
import { explainFailure } from '../support/lab.ts'
import { eventually } from '../support/wait.ts'
import { assertReaches, assertSilent, type Asker } from './support/answers.ts'
import { createNetwork } from './support/network-forms.ts'
import { inside } from './support/inside.ts'
import { refusalOf } from './support/refusal-of.ts'

const OUT = argv`--ipam-driver overlay-ts --ipam-opt overlay=out -o gateway=bridge`
const RED = argv`--ipam-driver overlay-ts --ipam-opt overlay=red`

/** What a service at an address and port says, "" for nothing. */
const ask = async (asker: Asker, at: string, page: 'peer' | 'name' = 'peer'): Promise<string> =>
  asker.exec(...argv`timeout 10 busybox wget -q -O - http://${at}/cgi-bin/${page}`).then(
    (text) => text.trim(),
    () => '',
  )

const askUdp = async (asker: Asker, at: string): Promise<string> =>
  (await asker.exec('sh', '-c', `${udpQuestion(at, 10)} 2>/dev/null || true`)).trim()

describe('a network that is its own way out, on two Docker hosts', () => {
  let lab: Lab
  let here: DockerHost, there: DockerHost
  let web: Container, neighbour: Container, far: Container, red: Container, stranger: Container
  const inLab = (sentence: string, body: () => Promise<void>): void => {
    test(sentence, () => explainFailure(lab, body))
  }

  before(async () => {
    lab = await Lab.create({ hosts: ['96', '98'], plugin: 'before docker' })
    await explainFailure(lab, async () => {
      here = lab.host('96')
      there = lab.host('98')
      for (const host of lab.hosts) {
        // Docker's own policy where it was the one to allow forwarding.
        await host.exec(...argv`iptables --policy FORWARD DROP`)
        await createNetwork(host, 'out', OUT)
        await createNetwork(host, 'red', RED)
      }
      web = await here.run('web', {
        network: 'out',
        options: argv`-p 8080:80 -p 7007:${PEER_PORT}/udp -p 127.0.0.1:8081:80 -p 80 --restart always`,
      })
      ;[neighbour, far, red, stranger] = await Promise.all([
        here.run('neighbour', { network: 'out' }),
        there.run('far', { network: 'out' }),
        here.run('red', { network: 'red' }),
        here.run('stranger'),
      ])
      // On the host itself: what a container of the other host sees of the world.
      await there.run('outside', { network: 'host' })
    })
  })
  after(async () => {
    await lab.remove()
  })

  async function publishedPorts(host: DockerHost): Promise<string[]> {
    const { endpoints } = JSON.parse(await host.admin('/v1/state')) as {
      endpoints: { ports: { protocol: string; hostIp: string | null; hostPort: number }[] }[]
    }
    return endpoints.flatMap(({ ports }) =>
      ports.map(
        ({ protocol, hostIp, hostPort }) => `${hostIp ? `${hostIp}:` : ''}${hostPort}/${protocol}`,
      ),
    )
  }

  /** A container that has just been started may not listen yet. */
  function untilOpen(port: number, name: string): Promise<void> {
    return eventually(
      async () => assert.equal(await ask(there, `${here.ip}:${port}`, 'name'), name),
      { what: `${name} to answer at ${port}`, timeout: 30_000 },
    )
  }

  async function assertPublished(): Promise<void> {
    assert.equal(await ask(there, `${here.ip}:8080`), there.ip)
    assert.equal(await ask(here, '127.0.0.1:8080', 'name'), 'web')
  }

  inLab('gives a container one interface, and the bridge as its default route', async () => {
    const text = await inside(web, ['ip -o link', 'ip route', 'ip -4 -o address show eth0'])
    assert.deepEqual(
      [...text.matchAll(/^\d+: ([^@:]+).* state/gm)].map(([, link]) => link),
      ['lo', 'eth0'],
    )
    const bridge = (await web.ip('out')).replace(/\d+$/, '1')
    assert.match(text, new RegExp(`^default via ${bridge} dev eth0`, 'm'))
    assert.equal(await here.docker('ps', '--format', '{{.Ports}}', '--filter', 'name=web'), '')
  })

  inLab('leads out as its host, and to its own containers as themselves', async () => {
    await assertReaches(web, [there.ip], here.ip)
    await assertReaches(web, [await far.ip('out')], await web.ip('out'))
    await assertReaches(far, [await web.ip('out')], await far.ip('out'))
  })

  inLab('publishes ports to other hosts, to the host itself and at 127.0.0.1', async () => {
    await assertPublished()
    assert.equal(await ask(here, `${here.ip}:8080`, 'name'), 'web')
    assert.equal(await ask(here, '127.0.0.1:8081', 'name'), 'web')
    assert.equal(await ask(there, `${here.ip}:8081`), '', 'published at 127.0.0.1 alone')
    assert.equal(await askUdp(there, `${here.ip}:7007`), there.ip)
    assert.notEqual(await askUdp(here, '127.0.0.1:7007'), '')
  })

  inLab(
    'publishes ports to every container: a neighbour, itself, strangers, other hosts',
    async () => {
      for (const asker of [neighbour, web, stranger, red, far]) {
        assert.equal(await ask(asker, `${here.ip}:8080`, 'name'), 'web', asker.name)
      }
      assert.notEqual(await askUdp(neighbour, `${here.ip}:7007`), '')
    },
  )

  inLab('chooses a free port where none is given, and tells it', async () => {
    const ports = await publishedPorts(here)
    const chosen = ports.filter((port) => !/^(8080|7007|127\.0\.0\.1:8081)\//.test(port))
    assert.equal(chosen.length, 1, ports.join(' '))
    const port = Number.parseInt(chosen[0]!, 10)
    assert(port >= 32768, String(port))
    assert.equal(await ask(there, `${here.ip}:${port}`, 'name'), 'web')
  })

  inLab('publishes what is exposed with -P, and at a free port with -p 0:', async () => {
    const before = await publishedPorts(here)
    const options = argv`-P --expose 80 --expose ${PEER_PORT}/udp -p 0:${PEER_PORT}`
    const all = await here.run('all', { network: 'out', options })
    const { endpoints } = JSON.parse(await here.admin('/v1/state')) as {
      endpoints: {
        address: string
        ports: { protocol: string; port: number; hostPort: number }[]
      }[]
    }
    const ip = await all.ip('out')
    const { ports } = endpoints.find(({ address }) => address.startsWith(`${ip}/`))!
    const at = new Map(
      ports.map(({ protocol, port, hostPort }) => [
        `${port}/${protocol}`,
        `${here.ip}:${hostPort}`,
      ]),
    )
    assert.deepEqual([...at.keys()].toSorted(), ['7/tcp', '7/udp', '80/tcp'])
    await eventually(
      async () => {
        assert.equal(await ask(there, at.get('80/tcp')!, 'name'), 'all')
        const peer = argv`timeout 10 socat -u TCP4:${at.get('7/tcp')!} -`
        assert.equal(await there.exec(...peer), there.ip)
        assert.equal(await askUdp(there, at.get('7/udp')!), there.ip)
      },
      { what: 'the three ports to answer', timeout: 30_000 },
    )
    await all.remove()
    assert.deepEqual(await publishedPorts(here), before)
  })

  inLab(
    'refuses a port that is in use with its number, and lets go of what it had taken',
    async () => {
      const attempt = (...words: string[]): Promise<string> =>
        refusalOf(here.run('late', { network: 'out', options: words }))
      const web80 = await attempt('-p', '8090:80', '-p', '8080:80')
      assert.match(
        web80,
        /port 8080\/tcp of this host is published already, by the container at 10\./,
      )
      assert.doesNotMatch((await publishedPorts(here)).join(' '), /\b8090\//)
      await here.docker('rm', '-f', 'late')
      await stranger.remove()
      stranger = await here.run('stranger', { options: argv`-p 9090:80` })
      assert.match(await attempt('-p', '9090:80'), /port 9090\/tcp of this host is in use already/)
      await here.docker('rm', '-f', 'late')
      const docker = refusalOf(here.run('late', { options: argv`-p 8080:80` }))
      assert.match(await docker, /address already in use/)
      await here.docker('rm', '-f', 'late')
      // 8080 is taken, and 8081 at one address.
      const late = await here.run('late', { network: 'out', options: argv`-p 8080-8089:80` })
      assert((await publishedPorts(here)).includes('8082/tcp'))
      await untilOpen(8082, 'late')
      await late.remove()
      assert.equal(await ask(there, `${here.ip}:8082`), '')
    },
  )

  inLab('stays closed but for published ports, and to other overlays both ways', async () => {
    const own = await web.ip('out')
    await assertSilent(red, [own])
    await assertSilent(stranger, [own])
    await assertSilent(web, [await red.ip('red'), await stranger.ip()])
    // A machine out there that knows the way.
    await there.exec(...argv`ip route add ${own}/32 via ${here.ip} dev eth0`)
    await assertSilent(there, [own])
    await there.exec(...argv`ip route del ${own}/32 via ${here.ip} dev eth0`)
    await assertPublished()
  })

  inLab(
    'asks nothing of a plugin that is away, and is put right when somebody deletes its rules',
    async () => {
      assert.match(await here.exec('iptables', '-S', 'FORWARD'), /-P FORWARD DROP/)
      await here.killPlugin()
      await assertPublished()
      await here.startPlugin()
      await assertPublished()
      await here.exec(...argv`nft delete table inet overlay-ts`)
      await here.exec(...argv`iptables -F DOCKER-USER`)
      await eventually(assertPublished, { what: 'the rules to be back', timeout: 60_000 })
      await assertReaches(web, [there.ip], here.ip)
      assert.match(
        await refusalOf(here.run('late', { network: 'out', options: argv`-p 8080:80` })),
        /8080\/tcp of this host is published already/,
      )
      await here.docker('rm', '-f', 'late')
    },
  )

  inLab(
    'publishes anew what Docker starts again, and whoever goes on asking finds it',
    async () => {
      const before = await web.ip('out')
      const goOn = there.machine.path('asking')
      writeFileSync(goOn, '')
      // Not connected, so that no answer of ICMP ends it.
      const socket = `socat -u - UDP4-SENDTO:${here.ip}:7007,sourceport=7777`
      const asking = `while [ -e ${goOn} ]; do echo; sleep 0.2; done | ${socket}`
      const flow = there.exec('sh', '-c', asking)
      try {
        await here.stopDocker()
        await here.startDocker()
        await eventually(assertPublished, { what: 'the container to be back', timeout: 60_000 })
        assert.notEqual(await web.ip('out'), before)
        const pid = String(await web.pid())
        const heard = argv`timeout 60 tcpdump -n -i eth0 -c 1 udp port ${PEER_PORT} and src ${there.ip}`
        assert.match(await here.exec('nsenter', '-t', pid, '-n', ...heard), /\.7777 > /)
      } finally {
        rmSync(goOn)
        await flow
      }
    },
  )

  inLab('takes over from Docker for a container that is connected, and gives back', async () => {
    const mover = await here.run('mover', { network: 'red', options: argv`-p 8088:80` })
    const shown = argv`ps --format {{.Ports}} --filter name=mover`
    const assertOpen = async (): Promise<void> =>
      assert.equal(await ask(there, `${here.ip}:8088`, 'name'), 'mover')
    await untilOpen(8088, 'mover')
    assert.match(await here.docker(...shown), /8088/)
    await here.docker('network', 'connect', 'out', 'mover')
    await assertOpen()
    assert((await publishedPorts(here)).includes('8088/tcp'))
    assert.doesNotMatch(await inside(mover, ['ip route']), /(^|\s)172\./m)
    await here.docker('network', 'disconnect', 'out', 'mover')
    await assertOpen()
    assert(!(await publishedPorts(here)).includes('8088/tcp'))
    await mover.remove()
  })

  inLab('has no way out and no ports when it is internal', async () => {
    await createNetwork(
      here,
      'shut',
      argv`--internal --ipam-driver overlay-ts --ipam-opt overlay=shut -o gateway=bridge`,
    )
    const shut = await here.run('shut', { network: 'shut', options: argv`-p 8099:80` })
    assert.doesNotMatch(await inside(shut, ['ip route', 'ip link']), /^default|eth1/m)
    await assertSilent(shut, [there.ip])
    assert.equal(await ask(here, '127.0.0.1:8099'), '')
    await shut.remove()
  })

  inLab('leaves no rule and no port behind', async () => {
    for (const container of [web, neighbour]) await container.remove()
    assert.deepEqual(await publishedPorts(here), [])
    assert.equal(await ask(there, `${here.ip}:8080`), '')
    await here.docker('network', 'rm', 'out')
    await eventually(
      async () => {
        const rules = await here.exec(...argv`nft list table inet overlay-ts`)
        assert.doesNotMatch(rules, /dnat|masquerade/)
      },
      { what: 'its rules to be gone' },
    )
    await here.run('next', { options: argv`-p 8080:80` })
    await untilOpen(8080, 'next')
  })
})
