import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { argv } from '../../lab/argv.ts'
import type { Container } from '../../lab/container.ts'
import type { DockerHost } from '../../lab/docker-host.ts'
import { Lab } from '../../lab/lab.ts'
import { explainFailure } from '../support/lab.ts'
import { eventually, waitFor } from '../support/wait.ts'
import { assertReaches, assertSilent, untilAnswered } from './support/answers.ts'
import { Capture } from './support/capture.ts'
import { inside } from './support/inside.ts'
import { createForm, createNetwork } from './support/network-forms.ts'
import { sendUncut } from './support/path-mtu.ts'
import { assertConnected, place } from './support/placed.ts'
import { pluginState } from './support/plugin-state.ts'

/** The forms whose routes differ: one route for the pool, one for each remote subnet. */
const USED = ['web', 'app'] as const
type Form = (typeof USED)[number]

/** Of the hosts' network less what encapsulation in IPv6 takes. */
const MTU = 1500 - 70

const BYTES = 50_000_000

const address6 = ({ name }: DockerHost): string => `fd00:18::${name}`

describe('two hosts that only IPv6 connects', () => {
  let lab: Lab
  /** Has the cluster's etcd. */
  let here: DockerHost
  let there: DockerHost
  const placed = {} as Record<Form, readonly { container: Container; ip: string }[]>
  const inLab = (sentence: string, body: () => Promise<void>): void => {
    test(sentence, () => explainFailure(lab, body))
  }

  before(async () => {
    lab = await Lab.create({ hosts: ['96', '98'], etcd: false })
    await explainFailure(lab, async () => {
      ;[here, there] = lab.hosts as [DockerHost, DockerHost]
      for (const host of lab.hosts) {
        await host.exec(...argv`ip -4 address flush dev eth0`)
        await host.exec(...argv`ip address add ${address6(host)}/64 dev eth0 nodad`)
        await startPlugin(host)
      }
      for (const form of USED) {
        // One host after the other: hosts that choose a plain subnet at one moment may clash.
        for (const host of lab.hosts) await createForm(host, form)
        placed[form] = await Promise.all(
          lab.hosts.map(async (host) => {
            const container = await host.run(form, { network: form })
            return { container, ip: await container.ip(form) }
          }),
        )
      }
    })
  })
  after(async () => {
    await lab.remove()
  })

  async function startPlugin(
    host: DockerHost,
    tunnels: Readonly<Record<string, string>> = { HOST_IP: address6(host) },
  ): Promise<void> {
    const own = { ETCD_ENDPOINTS: '', ETCD_LISTEN: `[${address6(here)}]`, ETCD_INSECURE: '1' }
    const etcd = host === here ? own : { ETCD_ENDPOINTS: `http://[${address6(here)}]:2379` }
    await host.startPlugin({ env: { ...etcd, ...tunnels } })
  }

  async function assertJoined(form: Form): Promise<void> {
    const [one, two] = placed[form]
    await assertReaches(one!.container, [two!.ip], one!.ip)
    await assertReaches(two!.container, [one!.ip], two!.ip)
  }

  inLab('let containers reach each other by their own addresses, in VXLAN over IPv6', async () => {
    await using capture = await Capture.start(lab, here.name)
    for (const form of USED) await assertJoined(form)
    const [mine, other] = [address6(here), address6(there)]
    for (const way of [`src ${mine} and dst ${other}`, `src ${other} and dst ${mine}`]) {
      const tunnelled = `${way} and udp dst port 8472`
      await waitFor(async () => (await capture.packets(tunnelled)).length > 0, { what: tunnelled })
    }
    await capture.stop()
    assert.deepEqual(await capture.packets('ip and (tcp or udp)'), [])
  })

  inLab('give containers an MTU of 70 bytes less than their own', async () => {
    const { container } = placed.web[0]!
    const { ip } = placed.web[1]!
    assert.equal((await pluginState(here)).host.overlayMtu, MTU)
    const device = `$(ip -o route get ${ip} | sed 's/.* dev \\([^ ]*\\).*/\\1/')`
    const link = await inside(container, [`ip -o link show dev ${device}`])
    assert.match(link, new RegExp(` mtu ${MTU} `))
    // One that fills the hosts' own 1500 bytes, less the 40 of their header, which its length leaves out.
    await using capture = await Capture.start(lab, there.name)
    await sendUncut(container, ip, MTU)
    await waitFor(async () => (await capture.packets('ip6[4:2] = 1460')).length > 0, {
      what: 'a packet of the full size to arrive',
      timeout: 30_000,
    })
    await assert.rejects(sendUncut(container, ip, MTU + 1), /Message too long/)
  })

  inLab('carry bulk TCP, cut and joined by the forwarder', async () => {
    const [sender, receiver] = placed.web
    await receiver!.container.host.docker('exec', '-d', 'web', 'iperf3', '-s')
    const send = (bytes: string): Promise<string> =>
      sender!.container.exec('iperf3', '-J', '-w', '256K', '-c', receiver!.ip, '-n', bytes)
    await waitFor(() => send('1K'), { what: 'iperf3 to serve', timeout: 30_000 })
    const report = await waitFor(() => send(String(BYTES)), {
      what: 'iperf3 to have ended the last test',
    })
    const { end } = JSON.parse(report) as {
      end: { sum_received: { bytes: number } }
    }
    // iperf3 leaves out what is in the sockets' buffers when the sender has sent all, so those are small.
    assert.ok(end.sum_received.bytes >= BYTES * 0.9, `${end.sum_received.bytes} bytes arrived`)
  })

  inLab('carry networks of both families', async () => {
    const words = argv`--ipv6 --ipam-driver overlay-ts --ipam-opt overlay=six`
    for (const host of lab.hosts) await createNetwork(host, 'six', words)
    const [one, two] = await Promise.all([place(here, 'six'), place(there, 'six')])
    await assertConnected([one, two])
    await one.container.ping(two.ip6, { size: MTU - 48 })
    await assert.rejects(sendUncut(one.container, two.ip6, MTU + 1), /Message too long/)
    await Promise.all([one, two].map(({ container }) => container.remove()))
    await Promise.all(lab.hosts.map((host) => host.docker('network', 'rm', 'six')))
  })

  inLab("reach each other's containers themselves", async () => {
    const { subnets } = await pluginState(here)
    for (const form of USED) {
      const own = subnets.find(({ overlay, isOurs }) => overlay === form && isOurs)
      await assertReaches(here, [placed[form][1]!.ip], own!.subnet.split('/')[0]!)
    }
  })

  inLab('are in etcd as flannel writes a host without IPv4', async () => {
    const text = await here.exec(
      ...argv`env ETCDCTL_API=3 etcdctl get --prefix --print-value-only /overlay-ts/subnets/`,
    )
    const leases = text.trim().split('\n')
    assert.equal(leases.length, 2 * USED.length)
    for (const lease of leases) {
      assert.match(lease, /^\{"PublicIP":"0\.0\.0\.0","PublicIPv6":"fd00:18::9[68]",/)
    }
  })

  inLab(
    'name one whose tunnels turn to IPv4, and are connected again when it is back',
    async () => {
      const [one, two] = placed.web
      await there.exec(...argv`ip address add ${there.ip}/24 dev eth0`)
      await there.stopPlugin()
      await startPlugin(there, { IFACE: 'eth0' })
      await eventually(
        async () => {
          const { problems } = await pluginState(here)
          assert.equal(problems.length, USED.length)
          for (const { reason } of problems) {
            assert.match(
              reason,
              /^is on host host-98, whose tunnels end at 172\.18\.10\.98 \(IPv4\) and this host's at fd00:18::96 \(IPv6\): set HOST_IP/,
            )
          }
        },
        { what: 'host 96 to name host 98', timeout: 60_000 },
      )
      assert.match(here.pluginLog(), /is on host host-98, whose tunnels end at 172\.18\.10\.98/)
      await assertSilent(one!.container, [two!.ip])

      await there.stopPlugin()
      await startPlugin(there)
      await untilAnswered(one!.container, [two!.ip])
      for (const form of USED) await assertJoined(form)
      assert.deepEqual((await pluginState(here)).problems, [])
    },
  )
})
