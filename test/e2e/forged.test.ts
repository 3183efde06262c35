import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { argv } from '../../lab/argv.ts'
import type { Container } from '../../lab/container.ts'
import type { DockerHost } from '../../lab/docker-host.ts'
import { Lab } from '../../lab/lab.ts'
import type { CounterName } from '../../src/datapath/counters.ts'
import { parseIpv4 } from '../../src/net/ipv4.ts'
import { explainFailure } from '../support/lab.ts'
import { naivePacket, PLAIN, UDP } from '../support/naive-packets.ts'
import { naiveFrame } from '../support/naive-ports.ts'
import { eventually } from '../support/wait.ts'
import { untilAnswered } from './support/answers.ts'
import { FORGERIES, PEER, TARGET, THIRD, type Facts, type Frame } from './support/forgeries.ts'
import { countersOf, difference, pluginState, restingCounters } from './support/plugin-state.ts'
import { Stranger } from './support/stranger.ts'
import { TunCapture } from './support/tun-capture.ts'

const PORT = 9999

/** Host TARGET is in the first two, THIRD in the first and the last. */
const HOSTS_OF = {
  web: [TARGET, PEER, THIRD],
  app: [TARGET, PEER],
  far: [PEER, THIRD],
} as const

const STRANGER = '66'

describe('a stranger on the underlay', () => {
  let lab: Lab
  let stranger: Stranger
  let facts: Facts
  let target: Container
  let tun: TunCapture
  const inLab = (sentence: string, body: () => Promise<void>): void => {
    test(sentence, () => explainFailure(lab, body))
  }

  before(async () => {
    lab = await Lab.create({ hosts: [TARGET, PEER, THIRD], plugin: 'before docker' })
    await explainFailure(lab, async () => {
      stranger = await Stranger.join(lab, STRANGER)
      const overlays = Object.keys(HOSTS_OF) as (keyof typeof HOSTS_OF)[]
      const ip: Record<string, string> = {}
      for (const overlay of overlays) {
        await Promise.all(
          HOSTS_OF[overlay].map(async (name) => {
            ip[`${overlay} ${name}`] = await containerIn(lab.host(name), overlay)
          }),
        )
      }
      const state = await pluginState(lab.host(TARGET))
      facts = {
        stranger: stranger.ip,
        ip,
        vni: Object.fromEntries(state.subnets.map(({ overlay, vni }) => [overlay!, vni])),
        mac: Object.fromEntries(
          await Promise.all(
            lab.hosts.map(async (host) => [host.name, (await pluginState(host)).host.vtepMac]),
          ),
        ) as Record<string, string>,
      }
      target = lab.host(TARGET).container('in-web')
      const peers = [`web ${PEER}`, `web ${THIRD}`].map((key) => ip[key]!)
      await untilAnswered(target, peers)
      await lab
        .host(TARGET)
        .docker(
          ...argv`exec -d in-web socat -u UDP4-RECV:${PORT},reuseaddr OPEN:/tmp/got,creat,append`,
        )
      tun = await TunCapture.start(lab.host(TARGET))
    })
  })
  after(async () => {
    await tun?.[Symbol.asyncDispose]()
    await lab.remove()
  })

  inLab(
    'reaches a container with a frame in which all is right: peers are not authenticated',
    async () => {
      assert.deepEqual(await countedFor('genuine first', {}), {
        rx_frames: 1,
        rx_packets: 1,
        tun_writes: 1,
      })
      await eventually(async () => assert.match(await received(), /genuine first/), {
        what: 'the container to receive it',
        timeout: 30_000,
      })
    },
  )

  for (const [index, [what, counter, frame]] of FORGERIES.entries()) {
    inLab(`is refused a frame ${what}`, async () => {
      assert.deepEqual(await countedFor(`forged ${index}`, frame(facts)), {
        rx_frames: 1,
        [counter]: 1,
      })
    })
  }

  inLab('delivered none of the forged frames to the host or a container', async () => {
    await countedFor('genuine last', {})
    const passed = await tun.until('genuine last')
    assert.match(passed, /genuine first/)
    assert.doesNotMatch(passed, /forged/)
    await eventually(async () => assert.match(await received(), /genuine last/), {
      what: 'the container to receive it',
      timeout: 30_000,
    })
    assert.doesNotMatch(await received(), /forged/)
  })

  const received = (): Promise<string> => target.exec('cat', '/tmp/got')

  /** Sends the frame and gives what the target's counters of arrivals rose by. */
  async function countedFor(
    text: string,
    frame: Frame,
  ): Promise<Partial<Record<CounterName, number>>> {
    const host = lab.host(TARGET)
    const before = await restingCounters(host)
    await stranger.send({
      source: frame.outerSource ?? lab.host(PEER).ip,
      destination: host.ip,
      payload: frameOf(text, frame),
      ...(frame.tos !== undefined && { tos: frame.tos }),
    })
    await eventually(
      async () => {
        const counted = difference(before, await countersOf(host))
        assert.ok(counted.rx_frames, 'the frame has not arrived')
      },
      { what: `the frame "${text}" to be counted`, timeout: 30_000 },
    )
    // It counts as arrived before it counts as what becomes of it.
    const counted = difference(before, await restingCounters(host))
    const isOfArrivals = ([name]: [string, number]): boolean =>
      /^rx_(frames|packets|drop_)/.test(name) || name === 'tun_writes'
    return Object.fromEntries(Object.entries(counted).filter(isOfArrivals))
  }

  function frameOf(text: string, frame: Frame): Uint8Array {
    const packet = naivePacket({
      ...PLAIN,
      protocol: UDP,
      source: parseIpv4(frame.source ?? facts.ip[`web ${PEER}`]!),
      destination: parseIpv4(frame.destination ?? facts.ip[`web ${TARGET}`]!),
      sourcePort: PORT,
      destinationPort: PORT,
      payload: Buffer.from(`${text}\n`),
    })
    const bytes = naiveFrame(packet, {
      vni: frame.vni ?? facts.vni['web']!,
      flags: frame.flags ?? 0x08,
      type: frame.type ?? 0x0800,
      to: frame.toMac ?? facts.mac[TARGET]!,
      from: frame.fromMac ?? facts.mac[PEER]!,
    })
    return frame.spoil ? frame.spoil(Buffer.from(bytes)) : bytes
  }
})

/** A network and a container in it. @returns the container's address */
async function containerIn(host: DockerHost, overlay: string): Promise<string> {
  const ipam = argv`--ipam-driver overlay-ts --ipam-opt overlay=${overlay}`
  await host.docker('network', 'create', '-d', 'overlay-ts', ...ipam, overlay)
  return (await host.run(`in-${overlay}`, { network: overlay })).ip()
}
