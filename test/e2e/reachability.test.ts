import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { argv } from '../../lab/argv.ts'
import type { Container } from '../../lab/container.ts'
import type { DockerHost } from '../../lab/docker-host.ts'
import { udpQuestion } from '../../lab/image.ts'
import { Lab } from '../../lab/lab.ts'
import { containsIp, parseCidr } from '../../src/net/cidr.ts'
import { parseIpv4 } from '../../src/net/ipv4.ts'
import { explainFailure } from '../support/lab.ts'
import { waitFor } from '../support/wait.ts'
import { answersFrom, assertReaches, seenAs } from './support/answers.ts'
import { createForm, FORMS, type NetworkForm } from './support/network-forms.ts'
import { learnedMtu, pingUncut, sendUncut, untilToldMtu } from './support/path-mtu.ts'
import { refusalOf } from './support/refusal-of.ts'
import { subnetOf } from './support/subnet-of.ts'

/** A host whose way to the others is narrower: its containers are reached through 1400 − 50 bytes. */
const NARROW = '99'

interface Placed {
  readonly container: Container
  readonly ip: string
}

describe('containers on three Docker hosts', () => {
  let lab: Lab
  const placed = {} as Record<NetworkForm, Placed[]>
  const inLab = (sentence: string, body: () => Promise<void>): void => {
    test(sentence, () => explainFailure(lab, body))
  }
  const on = (form: NetworkForm, host: string): Placed =>
    placed[form].find(({ container }) => container.host.name === host)!

  before(async () => {
    lab = await Lab.create({ hosts: ['96', '98', NARROW] })
    await lab.host(NARROW).exec(...argv`ip link set eth0 mtu 1400`)
    await explainFailure(lab, async () => {
      await Promise.all(lab.hosts.map((host) => host.startPlugin()))
      for (const form of FORMS) {
        // One host after the other, as a person would: hosts that choose a plain subnet at one moment may clash.
        for (const host of lab.hosts) await createForm(host, form)
      }
      await Promise.all(lab.hosts.map((host) => populate(host)))
    })
  })
  after(async () => {
    await lab.remove()
  })

  /** One container in each network, and on the first host a second. */
  async function populate(host: DockerHost): Promise<void> {
    const names = host === lab.hosts[0] ? ['one', 'two'] : ['one']
    for (const form of FORMS) {
      for (const name of names) {
        const container = await host.run(`${form}-${name}`, { network: form })
        ;(placed[form] ??= []).push({ container, ip: await container.ip(form) })
      }
    }
  }

  for (const form of FORMS) {
    inLab(`reach each other on ${form}, and are seen by their own addresses`, async () => {
      await Promise.all(
        placed[form].map(async ({ container, ip }) => {
          const others = placed[form].filter((other) => other.ip !== ip)
          assert.equal(others.length, 3)
          await assertReaches(
            container,
            others.map((other) => other.ip),
            ip,
          )
        }),
      )
    })
  }

  inLab('have addresses of the subnet that docker network inspect and etcd show', async () => {
    for (const form of FORMS) {
      for (const { container, ip } of placed[form]) {
        const { leased, inspected } = await subnetOf(lab, container.host, form)
        assert.ok(containsIp(parseCidr(leased), parseIpv4(ip)), `${ip} in ${leased}`)
        // Docker shows what it was asked for: with --subnet the overlay's pool, without an IPAM driver nothing.
        const shown = { web: leased, app: leased, routed: leased, bare: undefined }
        assert.equal(inspected, { ...shown, shared: '10.40.0.0/16' }[form])
      }
    }
  })

  inLab('in two overlays at once reach both, with the right source in each', async () => {
    const host = lab.host('96')
    const both = await host.run('both', { network: ['web', 'app'] })
    const own = await both.networks()
    for (const form of ['web', 'app'] as const) {
      const peers = placed[form].map(({ ip }) => ip)
      await assertReaches(both, peers, own[form]!)
      await Promise.all(
        placed[form].map(({ container, ip }) => assertReaches(container, [own[form]!], ip)),
      )
    }
    await both.remove()
  })

  inLab('that are connected to a third overlay while they run reach it', async () => {
    const { container, ip } = on('routed', '98')
    await container.host.docker('network', 'connect', 'shared', container.name)
    const own = await container.ip('shared')
    await assertReaches(container, [on('shared', '96').ip, on('shared', NARROW).ip], own)
    await assertReaches(container, [on('routed', '96').ip], ip)
    await container.host.docker('network', 'disconnect', 'shared', container.name)
    await assertReaches(container, [on('routed', '96').ip], ip)
  })

  inLab('are reached by other hosts, which show up as the .0 of their subnet', async () => {
    const assertBothWays = async (form: NetworkForm, host: DockerHost): Promise<void> => {
      const { leased } = await subnetOf(lab, host, form)
      const zero = leased.split('/')[0]!
      const away = placed[form].filter(({ container }) => container.host !== host)
      await assertReaches(
        host,
        away.map(({ ip }) => ip),
        zero,
      )
      await Promise.all(placed[form].map(({ container }) => container.ping(zero)))
    }
    await Promise.all(FORMS.flatMap((form) => lab.hosts.map((host) => assertBothWays(form, host))))
  })

  inLab('reach out through docker_gwbridge and are reached at published ports', async () => {
    const options = argv`-p 8080:80 -p 8007:7/udp`
    const server = await lab.host('96').run('published', { network: 'web', options })
    const { ip } = lab.host('96')
    const tcp = (from: { exec: Container['exec'] }): Promise<string> =>
      from.exec(...argv`timeout 10 busybox wget -q -O - http://${ip}:8080/cgi-bin/peer`)
    const udp = (from: { exec: Container['exec'] }): Promise<string> =>
      from.exec('sh', '-c', udpQuestion(`${ip}:8007`, 10))
    await assertReaches(on('web', '98').container, [await server.ip('web')], on('web', '98').ip)
    // A host by its own address; a container behind docker_gwbridge by that of its host.
    for (const asker of [lab.host('98'), on('web', '98').container, on('app', '98').container]) {
      assert.equal(await tcp(asker), '172.18.10.98')
      assert.equal(await udp(asker), '172.18.10.98')
    }
    await server.remove()
  })

  inLab('take packets of every size up to the MTU, and larger ones in fragments', async () => {
    for (const form of ['web', 'app'] as const) {
      const { container } = on(form, '96')
      const { ip } = on(form, '98')
      for (const size of [0, 1, 1000, 1421, 1422, 1423, 4000]) await container.ping(ip, { size })
    }
  })

  inLab('are told of a narrower way by ICMP, after which it carries TCP in bulk', async () => {
    for (const form of ['web', 'app'] as const) {
      const { container, ip: from } = on(form, '96')
      const narrow = on(form, NARROW)
      await sendUncut(container, narrow.ip, 1350)
      assert.equal(await learnedMtu(container, narrow.ip), null)
      await untilToldMtu(container, narrow.ip, 1350)
      // The one beside it has not been told yet.
      const beside = placed[form].find(
        (other) => other.container.host === container.host && other.container !== container,
      )!
      await pingUncut(beside.container, narrow.ip, 1350)
      assert.equal(await learnedMtu(beside.container, narrow.ip), null)
      const said = await refusalOf(pingUncut(beside.container, narrow.ip, 1351))
      assert.match(said, /Frag needed and DF set \(mtu = 1350\)/)

      await narrow.container.host.docker(...argv`exec -d ${narrow.container.name} iperf3 -s`)
      const report = await waitFor(
        () => container.exec(...argv`iperf3 -J -w 256K -n 4M -c ${narrow.ip}`),
        { what: 'iperf3 to listen', timeout: 30_000 },
      )
      const { end } = JSON.parse(report) as { end: { sum_received: { bytes: number } } }
      // iperf3 counts what has arrived by the moment the sender has sent all; the rest is in the sockets' buffers.
      assert.ok(end.sum_received.bytes > 1e6, report)
      assert.deepEqual(await answersFrom(container, [narrow.ip]), { [narrow.ip]: seenAs(from) })
    }
  })
})
