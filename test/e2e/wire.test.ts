import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { argv } from '../../lab/argv.ts'
import type { Container } from '../../lab/container.ts'
import type { DockerHost } from '../../lab/docker-host.ts'
import { Lab } from '../../lab/lab.ts'
import { formatIpv4 } from '../../src/net/ipv4.ts'
import { lastOf, parseCidr, type Cidr } from '../../src/net/cidr.ts'
import { explainFailure } from '../support/lab.ts'
import { waitFor } from '../support/wait.ts'
import { untilAnswered } from './support/answers.ts'
import { pluginState } from './support/plugin-state.ts'
import { GOOD, VxlanCapture, type VxlanFrame } from './support/vxlan-capture.ts'

const OVERLAYS = ['web', 'app'] as const
type Overlay = (typeof OVERLAYS)[number]

/** An underlay of 1,500 bytes less the outer IP, UDP, VXLAN and inner Ethernet headers. */
const MTU = 1450
const ICMP_ROOM = MTU - 28
const FRAGMENTED = 20_000
const NOISE_PORT = '9'

const [ICMP, TCP, UDP] = ['1', '6', '17']

interface End {
  readonly host: DockerHost
  readonly container: Container
  readonly ip: string
}

/** tshark's judgement on each checksum, and how many at least must be judged; of every frame unless told. */
const CHECKSUMS: readonly [
  what: string,
  statusOf: (frame: VxlanFrame) => string | undefined,
  least?: number,
][] = [
  ['outer IP', ({ ip }) => ip.checksum[0]],
  ['outer UDP', ({ udp }) => udp.checksum[0]],
  ['inner IP', ({ ip }) => ip.checksum[1]],
  ['inner TCP', ({ tcp }) => tcp.checksum, 4000],
  // A second UDP header may also be the one that an ICMP error quotes, cut short.
  ['inner UDP', ({ ip, udp }) => (ip.protocol[1] === UDP ? udp.checksum[1] : undefined), 1000],
  ['inner ICMP', ({ icmp }) => icmp.checksum, 8 * OVERLAYS.length],
]

describe('what two hosts send each other, as tshark reads it', () => {
  let lab: Lab
  const ends = {} as Record<Overlay, [End, End]>
  const frames: VxlanFrame[] = []
  const onTheWire = (sentence: string, body: () => void | Promise<void>): void => {
    test(sentence, () => explainFailure(lab, async () => body()))
  }

  before(async () => {
    lab = await Lab.create({ hosts: ['96', '98'], plugin: 'before docker' })
    await explainFailure(lab, async () => {
      for (const overlay of OVERLAYS) {
        const [first, second] = await Promise.all(lab.hosts.map((host) => end(host, overlay)))
        ends[overlay] = [first!, second!]
        await untilAnswered(first!.container, [second!.ip])
      }
      await using towardsFirst = await VxlanCapture.start(lab, '96')
      await using towardsSecond = await VxlanCapture.start(lab, '98')
      for (const overlay of OVERLAYS) await makeTraffic(...ends[overlay])
      frames.push(...(await towardsFirst.frames()), ...(await towardsSecond.frames()))
    })
  })
  after(async () => {
    await lab.remove()
  })

  async function end(host: DockerHost, overlay: Overlay): Promise<End> {
    const ipam = argv`--ipam-driver overlay-ts --ipam-opt overlay=${overlay}`
    await host.docker('network', 'create', '-d', 'overlay-ts', ...ipam, overlay)
    const container = await host.run(`in-${overlay}`, { network: overlay })
    return { host, container, ip: await container.ip() }
  }

  async function webPrefixes(host: DockerHost): Promise<{ pool: Cidr; own: Cidr }> {
    const { Pool } = JSON.parse(
      await lab.etcd.ctl('get', '--print-value-only', '/overlay-ts/overlays/web'),
    ) as { Pool: string }
    const { subnets } = await pluginState(host)
    const own = subnets.find(({ overlay, isOurs }) => overlay === 'web' && isOurs)!
    return { pool: parseCidr(Pool), own: parseCidr(own.subnet) }
  }

  onTheWire('is VXLAN without reserved bits, and nothing in it is malformed', () => {
    assert.deepEqual(
      different(frames, ({ vxlan }) => vxlan.flags),
      ['0x0800'],
    )
    assert.deepEqual(
      different(frames, ({ vxlan }) => vxlan.reserved),
      ['0 0'],
    )
    assert.deepEqual(
      frames.filter(({ malformed }) => malformed !== undefined),
      [],
    )
  })

  onTheWire('has the VNI that etcd holds for the overlay of the containers', async () => {
    const vnis = await Promise.all(
      OVERLAYS.map(async (overlay) => {
        const { VNI } = JSON.parse(
          await lab.etcd.ctl('get', '--print-value-only', `/overlay-ts/overlays/${overlay}`),
        ) as { VNI: number }
        const ips = ends[overlay].map(({ ip }) => ip)
        const own = frames.filter(({ ip }) => ips.includes(ip.source[1]!))
        assert.deepEqual(
          different(own, ({ vxlan }) => vxlan.vni),
          [String(VNI)],
          overlay,
        )
        assert.deepEqual(
          different(own, ({ ip }) => ip.destination[1]!),
          ips.toSorted(),
          overlay,
        )
        return [own.length, VNI]
      }),
    )
    assert.equal(new Set(vnis.map(([, vni]) => vni)).size, OVERLAYS.length)
    assert.equal(
      vnis.reduce((sum, [count]) => sum + count!, 0),
      frames.length,
      'frames of no overlay',
    )
  })

  onTheWire('goes between the hosts on port 8472, unfragmented, with a TTL of 64', () => {
    const addresses = lab.hosts.map(({ ip }) => ip).toSorted()
    assert.deepEqual(
      different(frames, ({ ip }) => ip.source[0]),
      addresses,
    )
    assert.deepEqual(
      different(frames, ({ ip }) => ip.destination[0]),
      addresses,
    )
    assert.deepEqual(
      different(frames, ({ udp }) => udp.destinationPort[0]),
      ['8472'],
    )
    assert.deepEqual(
      different(frames, ({ ip }) => ip.dontFragment[0]),
      ['1'],
    )
    assert.deepEqual(
      different(frames, ({ ip }) => ip.ttl[0]),
      ['64'],
    )
    for (const { ip, number } of frames) {
      assert.equal(Number(ip.length[0]), Number(ip.length[1]) + 50, `frame ${number}`)
      // RFC 6040: the outer mark is a copy of the inner one.
      assert.equal(Number(ip.tos[0]) & 3, Number(ip.tos[1]) & 3, `frame ${number}`)
    }
  })

  onTheWire('has right checksums outside and inside', () => {
    for (const [what, statusOf, least] of CHECKSUMS) {
      const judged = frames.filter((frame) => ![undefined, ''].includes(statusOf(frame)))
      const wrong = judged.filter((frame) => statusOf(frame) !== GOOD)
      assert.deepEqual(
        wrong.map(({ number }) => number),
        [],
        what,
      )
      assert.ok(judged.length >= (least ?? frames.length), `${what}: only ${judged.length} judged`)
    }
  })

  onTheWire('carries packets of exactly the MTU and none that is larger', () => {
    for (const protocol of [ICMP, TCP, UDP]) {
      const lengths = frames
        .filter(({ ip }) => ip.protocol[1] === protocol)
        .map(({ ip }) => Number(ip.length[1]))
      assert.equal(Math.max(...lengths), MTU, `protocol ${protocol}`)
    }
    assert.equal(Math.max(...frames.map(({ ip }) => Number(ip.length[0]))), 1500)
  })

  onTheWire('has the MACs of the VTEPs, as the map has them', async () => {
    const macOf = new Map<string, string>()
    for (const host of lab.hosts) {
      const { host: own, subnets } = await pluginState(host)
      macOf.set(host.ip, own.vtepMac)
      for (const { subnet } of subnets.filter(({ isOurs }) => isOurs)) {
        const key = `/overlay-ts/subnets/${subnet.replace('/', '-')}`
        const lease = JSON.parse(await lab.etcd.ctl('get', '--print-value-only', key)) as {
          BackendData: { VtepMAC: string }
        }
        assert.equal(lease.BackendData.VtepMAC, own.vtepMac)
      }
    }
    for (const { ip, ethernet, number } of frames) {
      assert.equal(ethernet.source[1], macOf.get(ip.source[0]), `frame ${number}`)
      assert.equal(ethernet.destination[1], macOf.get(ip.destination[0]), `frame ${number}`)
    }
  })

  onTheWire('keeps a flow on one source port and spreads flows over several', () => {
    for (const host of lab.hosts) {
      const portsOf = new Map<string, Set<string>>()
      for (const frame of frames.filter(({ ip }) => ip.source[0] === host.ip)) {
        const flow = flowOf(frame)
        portsOf.set(flow, (portsOf.get(flow) ?? new Set()).add(frame.udp.sourcePort[0]))
      }
      const torn = [...portsOf].filter(([, ports]) => ports.size > 1)
      assert.deepEqual(torn, [])
      // Some 40 flows over eight ports: all on fewer than four would be a chance of one in 10^10.
      const ports = new Set([...portsOf.values()].flatMap((set) => [...set]))
      assert.ok(portsOf.size >= 30, `${portsOf.size} flows`)
      assert.ok(ports.size >= 4, `${portsOf.size} flows on the ports ${[...ports].join(', ')}`)
    }
  })

  onTheWire('is never ARP, broadcast or multicast, which containers do send', async () => {
    assert.deepEqual(
      different(frames, ({ ethernet }) => ethernet.type[1]!),
      ['0x0800'],
    )
    await using towardsSecond = await VxlanCapture.start(lab, '98')
    const [first, second] = ends.web
    const { pool, own } = await webPrefixes(first.host)
    const unknown = formatIpv4(lastOf(pool) - 300)
    const broadcasts = [own, pool].map((prefix) => formatIpv4(lastOf(prefix)))
    for (const to of [...broadcasts, '224.0.0.251', '255.255.255.255']) {
      const send = `echo noise | socat - UDP4-DATAGRAM:${to}:${NOISE_PORT},broadcast,ip-multicast-ttl=4`
      await first.container.exec('sh', '-c', send)
    }
    await first.container.exec('sh', '-c', `arping -c 2 -w 2 -I eth0 ${unknown} || true`)
    await first.container.exec('arping', '-f', '-w', '30', '-I', 'eth0', second.ip)
    // The last word: what was sent before it has come through by then.
    await first.container.ping(second.ip)
    const seen = await towardsSecond.frames()
    assert.deepEqual(
      different(seen, ({ ethernet }) => ethernet.type[1]!),
      ['0x0800'],
    )
    assert.ok(seen.some(({ ip }) => ip.protocol[1] === ICMP && ip.destination[1] === second.ip))
    const containers = OVERLAYS.map((overlay) => ends[overlay][1].ip)
    assert.deepEqual(
      seen.filter(({ ip }) => !containers.includes(ip.destination[1]!)),
      [],
    )
    assert.deepEqual(
      seen.filter(({ udp }) => udp.destinationPort[1] === NOISE_PORT),
      [],
    )
  })
})

/** ICMP, TCP and UDP in both directions, small, of exactly the MTU and in fragments, in many flows. */
async function makeTraffic(first: End, second: End): Promise<void> {
  for (const size of [0, 56, ICMP_ROOM, FRAGMENTED]) {
    await first.container.ping(second.ip, { size })
    await second.container.ping(first.ip, { size })
  }
  await second.host.docker('exec', '-d', second.container.name, 'iperf3', '-s')
  const iperf = (words: readonly string[]): Promise<string> =>
    first.container.exec('iperf3', '-c', second.ip, '-P', '8', ...words)
  await waitFor(() => iperf(argv`-n 4M`), { what: 'iperf3 to serve', timeout: 30_000 })
  for (const words of [
    argv`-n 4M -R`,
    argv`-n 800K -u -b 5M -l ${ICMP_ROOM}`,
    argv`-n 200K -u -b 5M -l 200 -R`,
  ]) {
    await waitFor(() => iperf(words), { what: 'iperf3 to have ended the last test' })
  }
}

/** What all packets of a flow have in common; fragments and ICMP have no ports. */
function flowOf({ ip, tcp, udp }: VxlanFrame): string {
  const [, protocol] = ip.protocol
  const ports =
    protocol === TCP
      ? tcp.ports
      : protocol === UDP
        ? `${udp.sourcePort[1]} ${udp.destinationPort[1]}`
        : ''
  return [ip.source[1], ip.destination[1], protocol, ports].join(' ')
}

/** The different values of something, sorted. */
function different(frames: readonly VxlanFrame[], value: (frame: VxlanFrame) => string): string[] {
  return [...new Set(frames.map(value))].toSorted()
}
