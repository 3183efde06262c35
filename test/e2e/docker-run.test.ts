import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { argv } from '../../lab/argv.ts'
import type { Container } from '../../lab/container.ts'
import type { DockerHost } from '../../lab/docker-host.ts'
import { IMAGE, udpQuestion } from '../../lab/image.ts'
import { Lab } from '../../lab/lab.ts'
import { messageOf } from '../../src/errors.ts'
import { explainFailure } from '../support/lab.ts'
import { eventually, waitFor } from '../support/wait.ts'
import { assertReaches, assertSilent, type Asker } from './support/answers.ts'
import { inside } from './support/inside.ts'
import { createNetwork, createRepeating } from './support/network-forms.ts'
import { pingUncut, sendUncut } from './support/path-mtu.ts'
import { refusalOf } from './support/refusal-of.ts'
import { resolvedIn } from './support/resolved-in.ts'
import { subnetOf } from './support/subnet-of.ts'

/** One pooled, one with Docker's own IPAM. */
const NETWORKS = ['web', 'app'] as const

/** Answers every question for an IPv4 address with 192.0.2.7, and any other with nothing (RFC 1035 section 4); notes who asks. */
const DNS_SERVER = `cat >/bin/answer <<'END'
#!/bin/sh
echo $SOCAT_PEERADDR >>/tmp/askers
q=$(dd bs=512 count=1 2>/dev/null | xxd -p -c 512)
case $q in *00010001) count=0001 record=c00c000100010000003c0004c0000207;; *) count=0000 record=;; esac
printf '%s' "\${q:0:4}81800001\${count}00000000\${q:24}$record" | xxd -r -p
END
chmod +x /bin/answer
exec socat -t 5 UDP4-RECVFROM:53,fork,shut-null EXEC:/bin/answer`

describe('the verbs and flags of docker run, on two Docker hosts', () => {
  let lab: Lab
  let a: DockerHost
  let b: DockerHost
  let peer: Container
  let peerIp: string
  const inLab = (sentence: string, body: () => Promise<void>): void => {
    test(sentence, () => explainFailure(lab, body))
  }

  before(async () => {
    lab = await Lab.create({ hosts: ['96', '98'], plugin: 'before docker' })
    a = lab.host('96')
    b = lab.host('98')
    await explainFailure(lab, async () => {
      for (const host of [a, b]) {
        await createNetwork(host, 'web', argv`--ipam-driver overlay-ts --ipam-opt overlay=web`)
        await createRepeating(host, 'app')
      }
      peer = await b.run('peer', { network: ['web', 'app'] })
      peerIp = await peer.ip('web')
    })
  })
  after(async () => {
    await lab.remove()
  })

  const on = (network: string, name: string, words: readonly string[] = []): Promise<Container> =>
    a.run(name, { network, options: words })
  const assertBothWays = async (container: Container, network = 'web'): Promise<void> => {
    const [ip, theirs] = [await container.ip(network), await peer.ip(network)]
    await assertReaches(peer, [ip], theirs)
    await assertReaches(container, [theirs], ip)
  }

  inLab('create, start, restart, pause, stop, kill and rm, in two networks at once', async () => {
    await a.docker(...argv`create --network web --name life --hostname life ${IMAGE}`)
    await a.docker(...argv`network connect app life`)
    const life = a.container('life')
    const both = async (): Promise<void> => {
      await Promise.all(NETWORKS.map((network) => assertBothWays(life, network)))
    }
    const nowhere = { web: '', app: '' }
    assert.deepEqual(await life.networks(), nowhere, 'an address comes with the start')
    await a.docker('start', 'life')
    await both()
    await a.docker('restart', '-t', '5', 'life')
    await both()

    const before = await life.networks()
    await a.docker('pause', 'life')
    await Promise.all(Object.values(before).map((ip) => assertFrozen(peer, ip)))
    await a.docker('unpause', 'life')
    assert.deepEqual(await life.networks(), before)
    await both()

    for (const end of [argv`stop -t 5`, argv`kill`]) {
      const ips = Object.values(await life.networks())
      await a.docker(...end, 'life')
      // docker may say that a container is stopped before it has left its networks.
      await eventually(async () => assert.deepEqual(await life.networks(), nowhere), {
        what: 'the container to have left its networks',
      })
      await assertSilent(peer, ips)
      await a.docker('start', 'life')
      await both()
    }
    const last = Object.values(await life.networks())
    await a.docker('rm', '-f', 'life')
    await assertSilent(peer, last)
    await eventually(
      async () => {
        const text = await lab.etcdText()
        assert.deepEqual(
          last.filter((ip) => text.includes(`/${ip} `)),
          [],
        )
      },
      { what: 'its addresses to leave the map', timeout: 30_000 },
    )
  })

  /** Its kernel still answers ICMP, and nobody in it the questions. */
  async function assertFrozen(asker: Container, ip: string): Promise<void> {
    await asker.ping(ip)
    assert.equal(await asker.udpSourceSeenBy(ip), '')
  }

  inLab('--restart, update --restart and rename keep the network', async () => {
    const words = argv`--restart always --network-alias stays`
    const phoenix = await on('web', 'phoenix', words)
    const neighbour = await on('web', 'neighbour')
    const again = async (): Promise<void> => {
      const count = Number(await a.docker('inspect', '-f', '{{.RestartCount}}', phoenix.name))
      // It may end before Docker hears of the command's success.
      await phoenix.exec('kill', '-TERM', '1').catch(() => undefined)
      await eventually(
        async () => {
          const format = '{{.RestartCount}} {{.State.Restarting}}'
          const state = await a.docker('inspect', '-f', format, phoenix.name)
          assert.equal(state, `${count + 1} false`)
          await phoenix.ip('web')
        },
        { what: 'Docker to start the container again', timeout: 30_000 },
      )
      await assertBothWays(phoenix)
    }
    await again()
    await a.docker(...argv`update --restart on-failure phoenix`)
    await a.docker(...argv`update --restart always phoenix`)
    await again()
    await a.docker('rename', 'phoenix', 'risen')
    const risen = a.container('risen')
    await assertBothWays(risen)
    for (const name of ['risen', 'stays']) {
      assert.deepEqual(await resolvedIn(neighbour, name), [await risen.ip()])
    }
    await Promise.all([risen.remove(), neighbour.remove()])
  })

  inLab('names: --name, --hostname, --network-alias, --link and --add-host', async () => {
    const named = await on('web', 'named', argv`--network-alias db --network-alias store`)
    const words = argv`--link named:linked --add-host far:${peerIp} --hostname chosen`
    const network = 'name=web,alias=written,driver-opt=any=thing'
    await a.docker(...argv`run -d --name asker --network ${network} ${words} ${IMAGE}`)
    const asker = a.container('asker')
    assert.equal(await asker.exec('hostname'), 'chosen')
    for (const name of ['named', 'db', 'store', 'linked']) {
      assert.deepEqual(await resolvedIn(asker, name), [await named.ip()])
    }
    assert.deepEqual(await resolvedIn(named, 'written'), [await asker.ip()])
    assert.match(await asker.exec('cat', '/etc/hosts'), new RegExp(`^${peerIp}\\s+far$`, 'm'))
    await Promise.all([named.remove(), asker.remove()])
  })

  inLab(
    '--dns is asked through the overlay, and --sysctl and --link-local-ip are set',
    async () => {
      const server = await b.run('names', { network: 'web', command: ['sh', '-c', DNS_SERVER] })
      const words = argv`--dns ${await server.ip()} --dns-search test --dns-option ndots:2 --domainname of.test --sysctl net.ipv4.ip_default_ttl=33 --link-local-ip 169.254.9.9`
      const asker = await on('web', 'asker', words)
      await eventually(
        async () => assert.deepEqual(await resolvedIn(asker, 'any.test'), ['192.0.2.7']),
        { what: 'the name server on the other host', timeout: 30_000 },
      )
      const askers = await server.exec('sort', '-u', '/tmp/askers')
      assert.equal(askers, await asker.ip())
      const resolver = await asker.exec('cat', '/etc/resolv.conf')
      assert.match(resolver, /^search test$/m)
      assert.match(resolver, /^options .*ndots:2/m)
      assert.match(await asker.exec('cat', '/etc/hosts'), /asker\.of\.test/)
      assert.equal(await asker.exec('cat', '/proc/sys/net/ipv4/ip_default_ttl'), '33')
      assert.match(await inside(asker, ['ip -o address']), / 169\.254\.9\.9\/16 /)
      await assertBothWays(asker)
      await Promise.all([asker.remove(), server.remove()])
    },
  )

  inLab('--network none has lo alone, container: the address of another', async () => {
    const alone = await on('none', 'alone')
    assert.equal(await alone.exec('ls', '/sys/class/net'), 'lo')
    await alone.remove()
    const owner = await on('web', 'owner')
    await a.docker(...argv`run -d --name guest --network container:owner ${IMAGE} sleep 1000`)
    const guest = a.container('guest')
    await assertReaches(guest, [peerIp], await owner.ip())
    await a.docker('restart', '-t', '5', 'owner')
    await a.docker('restart', '-t', '1', 'guest')
    await assertReaches(guest, [peerIp], await owner.ip())
    await Promise.all([guest.remove(), owner.remove()])
  })

  /** A container that has just been started may not listen yet. */
  function untilServing(at: string, ask = tcpAt): Promise<void> {
    return eventually(async () => assert.equal(await ask(b, at), b.ip), {
      what: `an answer of ${at}`,
      timeout: 30_000,
    })
  }

  inLab(
    '-p in all its forms is shown, and answers the host, its loopback and other hosts',
    async () => {
      const words = argv`-p 8081:80 -p 127.0.0.1:8082:80 -p ${a.ip}:8083:80 -p 8090-8095:80 -p 8101-8102:80-81 -p 80 -p 0:80
      -p 8007:7/udp -p ${a.ip}::7/udp -p 0.0.0.0:8008:7 -p [::1]:8085:80`
      const server = await on('web', 'server', words)
      const ports = await publishedPorts(server)
      const http = ports['80/tcp']!
      const chosen = http.filter((at) => !/:(8081|8082|8083|8101)$/.test(at))
      assert.equal(chosen.length, 3, http.join(' '))
      assert.ok(
        chosen.some((at) => /:809[0-5]$/.test(at)),
        'one of the range',
      )
      assert.deepEqual(ports['81/tcp'], ['0.0.0.0:8102'])
      // docker ps and docker port say the same as inspect.
      const shown = await a.docker('ps', '--filter', 'name=server', '--format', '{{.Ports}}')
      for (const [inner, outer] of Object.entries(ports)) {
        const port = await a.docker('port', 'server', inner)
        const lines = port.split('\n').filter((line) => !line.includes('::'))
        assert.deepEqual(lines.toSorted(), outer.toSorted())
        for (const at of outer) assert.ok(shown.split(', ').includes(`${at}->${inner}`), shown)
      }

      const gateway = await a.docker(
        ...argv`network inspect -f ${'{{(index .IPAM.Config 0).Gateway}}'} docker_gwbridge`,
      )
      const portsOf = (all: readonly string[], local: boolean): string[] =>
        all.filter((at) => at.startsWith('127.') === local).map((at) => at.split(':')[1]!)
      await untilServing(`${a.ip}:8081`)
      for (const port of portsOf(http, false)) {
        assert.equal(await tcpAt(b, `${a.ip}:${port}`), b.ip, port)
        assert.equal(await tcpAt(peer, `${a.ip}:${port}`), b.ip, port)
        assert.equal(await tcpAt(a, `${a.ip}:${port}`), a.ip, port)
      }
      // Through Docker's own proxy.
      for (const at of ['127.0.0.1:8081', '127.0.0.1:8082', '[::1]:8081', '[::1]:8085']) {
        assert.equal(await tcpAt(a, at), gateway, at)
      }
      assert.equal(await tcpAt(b, `${a.ip}:8082`), '', 'loopback only')
      for (const at of ports['7/udp']!) {
        const port = at.split(':')[1]!
        await untilServing(`${a.ip}:${port}`, udpAt)
        assert.equal(await udpAt(a, `${a.ip}:${port}`), a.ip)
      }
      assert.equal(await udpAt(a, '127.0.0.1:8007'), gateway)
      assert.equal(await tcpAt(b, `${a.ip}:8102`), '', 'nobody listens there')

      // Hairpin: the container itself, one beside it in its network and one in another.
      const [beside, other] = await Promise.all([on('web', 'beside'), on('app', 'other')])
      for (const asker of [server, beside, other]) {
        assert.notEqual(await tcpAt(asker, `${a.ip}:8081`), '', asker.name)
      }
      // A port that is in use is refused, by Docker's own word.
      const clash = on('web', 'clash', argv`-p 8081:80`)
      assert.match(await refusalOf(clash), /port is already allocated/)
      await a.docker('rm', '-f', 'clash')

      // SCTP is Docker's too: where the kernel has none, its proxy says so.
      const sctp = await on('web', 'sctp', argv`-p 8086:80/sctp`).then(publishedPorts, messageOf)
      assert.match(JSON.stringify(sctp), /"80\/sctp":\["0\.0\.0\.0:8086"|protocol not supported/)
      await a.docker('rm', '-f', 'sctp')
      // Published again after a restart, and no more once the container is gone.
      await a.docker('restart', '-t', '5', 'server')
      await untilServing(`${a.ip}:8081`)
      await Promise.all([server, beside, other].map((each) => each.remove()))
      assert.equal(await tcpAt(b, `${a.ip}:8081`), '')
    },
  )

  inLab(
    '-P publishes what --expose names, and a connected network changes nothing of it',
    async () => {
      const server = await on('web', 'server', argv`-P --expose 80 --expose 7/udp`)
      await a.docker('network', 'connect', 'app', 'server')
      const ports = await publishedPorts(server)
      assert.deepEqual(Object.keys(ports).toSorted(), ['7/udp', '80/tcp'])
      const [tcp, udp] = [ports['80/tcp']![0]!, ports['7/udp']![0]!].map((at) => at.split(':')[1]!)
      await untilServing(`${a.ip}:${tcp}`)
      await untilServing(`${a.ip}:${udp}`, udpAt)
      await a.docker('network', 'disconnect', 'web', 'server')
      assert.equal(await tcpAt(b, `${a.ip}:${tcp}`), b.ip)
      await assertBothWays(server, 'app')
      await server.remove()
    },
  )

  inLab('hosts reach their own containers, and containers the services of their host', async () => {
    const services = await a.run('services', { network: 'host' })
    for (const network of NETWORKS) {
      const member = await on(network, 'member')
      const ip = await member.ip(network)
      const { leased } = await subnetOf(lab, a, network)
      const zero = leased.split('/')[0]!
      const seen = await waitFor(() => tcpAt(a, `${ip}:80`), { what: 'the container to serve' })
      const bridge = await inside(member, ['ip -o address show dev eth1'])
      assert.ok(await isOwnAddress(a, seen), `${seen} is an address of the host`)
      // By its address in the overlay the host sees the container's own.
      await eventually(async () => assert.equal(await tcpAt(member, `${zero}:80`), ip), {
        what: "the host's own service to answer",
      })
      assert.equal(await tcpAt(peer, `${zero}:80`), await peer.ip(network))
      // By its address in the underlay, that of the container on docker_gwbridge.
      const outer = / inet (\S+)\//.exec(bridge)![1]
      assert.equal(await tcpAt(member, `${a.ip}:80`), outer)
      await member.remove()
    }
    await services.remove()
  })

  async function isOwnAddress(host: DockerHost, ip: string): Promise<boolean> {
    return (await host.exec('ip', '-o', '-4', 'address')).includes(` ${ip}/`)
  }

  inLab('multicast and packets of the MTU pass within a host, and no packet above it', async () => {
    const within = async (network: string): Promise<void> => {
      const [left, right] = await Promise.all([
        on(network, `left-${network}`),
        on(network, `right-${network}`),
      ])
      const [from, to] = [await left.ip(), await right.ip()]
      await a.docker(
        ...argv`exec -d ${right.name} socat -u UDP4-RECVFROM:9999,fork,ip-add-membership=239.7.7.7:${to}`,
        'SYSTEM:echo $SOCAT_PEERADDR >>/tmp/seen',
      )
      await eventually(
        async () => {
          const options = `ip-multicast-if=${from},ip-multicast-ttl=1`
          await left.exec(
            'sh',
            '-c',
            `echo hello | socat - UDP4-DATAGRAM:239.7.7.7:9999,${options}`,
          )
          const seen = await right.exec('cat', '/tmp/seen')
          assert.equal(seen.split('\n')[0], from)
        },
        { what: 'a multicast packet', timeout: 30_000, every: 200 },
      )
      for (const there of [to, await peer.ip(network)]) {
        await sendUncut(left, there, 1450)
        assert.match(await refusalOf(sendUncut(left, there, 1451)), /Message too long/)
        await pingUncut(left, there, 1450)
        assert.match(await refusalOf(pingUncut(left, there, 1451)), /message too long, mtu=1450/)
      }
      await Promise.all([left.remove(), right.remove()])
    }
    await Promise.all(NETWORKS.map(within))
  })
})

/** Inner port, "80/tcp", to "ADDRESS:PORT" on the host; IPv6's left out. */
async function publishedPorts(container: Container): Promise<Record<string, string[]>> {
  const json = await container.host.docker(
    'inspect',
    '-f',
    '{{json .NetworkSettings.Ports}}',
    container.name,
  )
  const found = JSON.parse(json) as Record<string, { HostIp: string; HostPort: string }[]>
  return Object.fromEntries(
    Object.entries(found).map(([inner, bindings]) => [
      inner,
      bindings
        .filter(({ HostIp }) => !HostIp.includes(':'))
        .map((at) => `${at.HostIp}:${at.HostPort}`),
    ]),
  )
}

/** The source that an answering lab service saw, "" where nobody answers. */
async function tcpAt(asker: Asker, at: string): Promise<string> {
  const words = argv`timeout 10 busybox wget -q -O - http://${at}/cgi-bin/peer`
  return asker.exec(...words).then(
    (text) => text.trim(),
    () => '',
  )
}

async function udpAt(asker: Asker, at: string): Promise<string> {
  return (await asker.exec('sh', '-c', udpQuestion(at, 10))).trim()
}
