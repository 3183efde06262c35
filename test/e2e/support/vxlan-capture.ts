import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { rmSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { hostIp } from '../../../lab/address.ts'
import { argv } from '../../../lab/argv.ts'
import { command, LAB_ENV } from '../../../lab/command.ts'
import type { Lab } from '../../../lab/lab.ts'
import { portName } from '../../../lab/switch.ts'
import { OverlayError } from '../../../src/errors.ts'
import { waitFor } from '../../support/wait.ts'

/** Both headers' values of a field that the outer and the inner packet have; undefined where there is none. */
type Both = readonly [outer: string, inner: string | undefined]

/** One datagram to the VXLAN port as tshark reads it, whose dissectors share nothing with ours. */
export interface VxlanFrame {
  readonly number: string
  readonly ip: {
    readonly source: Both
    readonly destination: Both
    readonly length: Both
    readonly ttl: Both
    readonly dontFragment: Both
    readonly tos: Both
    readonly protocol: Both
    readonly checksum: Both
  }
  readonly udp: {
    readonly sourcePort: Both
    readonly destinationPort: Both
    readonly checksum: Both
  }
  readonly tcp: { readonly ports: string; readonly checksum: string }
  readonly icmp: { readonly checksum: string }
  readonly vxlan: {
    readonly flags: string
    readonly vni: string
    /** What follows the flags, and the last byte. */
    readonly reserved: string
  }
  readonly ethernet: {
    readonly source: Both
    readonly destination: Both
    readonly type: Both
  }
  /** The protocols in it if a dissector gave up on it: "eth:ethertype:ip:udp:vxlan:…". */
  readonly malformed: string | undefined
}

const FIELDS = [
  'frame.number',
  'ip.src',
  'ip.dst',
  'ip.len',
  'ip.ttl',
  'ip.flags.df',
  'ip.dsfield',
  'ip.proto',
  'ip.checksum.status',
  'udp.srcport',
  'udp.dstport',
  'udp.checksum.status',
  'tcp.srcport',
  'tcp.dstport',
  'tcp.checksum.status',
  'icmp.checksum.status',
  'vxlan.flags',
  'vxlan.vni',
  'vxlan.gbp',
  'vxlan.reserved8',
  'eth.src',
  'eth.dst',
  'eth.type',
  '_ws.malformed',
  'frame.protocols',
] as const

/**
 * What containers send is random bytes from any port, which tshark would read as whatever protocol has that
 * port, and find malformed. A later rule goes before an earlier one.
 */
const UNREAD = ['tcp.port==1-65535,data', 'udp.port==1-65535,data']

/** tshark's word for a checksum that it computed and found right. */
export const GOOD = '1'

let made = 0

/**
 * What the switch delivers to a Docker host on the VXLAN port, each frame as it is on a wire: the port's
 * offloads are turned off, so that the kernel cuts super-frames and completes checksums before them.
 */
export class VxlanCapture implements AsyncDisposable {
  readonly #file: string
  readonly #tcpdump: ChildProcess
  readonly #port: number
  #said = ''

  private constructor(file: string, tcpdump: ChildProcess, port: number) {
    this.#file = file
    this.#tcpdump = tcpdump
    this.#port = port
  }

  static async start(lab: Lab, machine: string, port = 8472): Promise<VxlanCapture> {
    const wire = portName(machine)
    await lab.switch.exec('ethtool', '-K', wire, ...argv`tx off tso off gso off sg off`)
    const file = `/tmp/ovt-${process.pid}-vxlan-${++made}.pcap`
    const tcpdump = spawn(
      'ip',
      argv`netns exec ${lab.switch.netns} tcpdump -i ${wire} -n -s 0 -B 65536 --immediate-mode -Z root -w ${file} udp dst port ${port} and dst host ${hostIp(machine)}`,
      { env: LAB_ENV, stdio: ['ignore', 'ignore', 'pipe'] },
    )
    const capture = new VxlanCapture(file, tcpdump, port)
    createInterface({ input: tcpdump.stderr }).on('line', (line) => (capture.#said += `${line}\n`))
    await waitFor(() => capture.#said.includes('listening on'), {
      what: `tcpdump on ${wire}`,
      timeout: 30_000,
    })
    return capture
  }

  /** Ends the capture once it has all that has passed, and reads it. @throws OverlayError host_state when it is incomplete */
  async frames(): Promise<VxlanFrame[]> {
    await waitFor(() => this.#hasCaughtUp(), { what: 'tcpdump to catch up', timeout: 30_000 })
    await this.#stop()
    if (!/^0 packets dropped by kernel/m.test(this.#said)) {
      throw new OverlayError('host_state', `the capture is incomplete: ${this.#said}`)
    }
    const checks = ['ip.check_checksum', 'udp.check_checksum', 'tcp.check_checksum']
    const text = await command(
      argv`tshark -n -r ${this.#file} ${[...UNREAD, `udp.port==${this.#port},vxlan`].flatMap((rule) => ['-d', rule])} ${checks.flatMap((name) => ['-o', `${name}:TRUE`])}
        -T fields -E separator=; -E occurrence=a -E aggregator=, ${FIELDS.flatMap((field) => ['-e', field])}`,
    )
    return text.split('\n').filter(Boolean).map(frameOf)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stop()
    rmSync(this.#file, { force: true })
  }

  /** tcpdump forgets, when it is ended, what the kernel has yet to hand it; asked, it says how much it has. */
  async #hasCaughtUp(): Promise<boolean> {
    const before = this.#said.length
    this.#tcpdump.kill('SIGUSR1')
    const counts = await waitFor(
      () => /(\d+) packets? captured, (\d+) packets? received/.exec(this.#said.slice(before)),
      { what: 'tcpdump to count', timeout: 30_000, every: 5 },
    )
    return counts[1] === counts[2]
  }

  async #stop(): Promise<void> {
    if (this.#tcpdump.exitCode !== null || this.#tcpdump.signalCode !== null) return
    const closed = once(this.#tcpdump, 'close')
    this.#tcpdump.kill('SIGINT')
    await closed
  }
}

function frameOf(line: string): VxlanFrame {
  const values = line.split(';')
  const text = (field: (typeof FIELDS)[number]): string => values[FIELDS.indexOf(field)] ?? ''
  const both = (field: (typeof FIELDS)[number]): Both => {
    const [outer = '', inner] = text(field).split(',')
    return [outer, inner]
  }
  return {
    number: text('frame.number'),
    ip: {
      source: both('ip.src'),
      destination: both('ip.dst'),
      length: both('ip.len'),
      ttl: both('ip.ttl'),
      dontFragment: both('ip.flags.df'),
      tos: both('ip.dsfield'),
      protocol: both('ip.proto'),
      checksum: both('ip.checksum.status'),
    },
    udp: {
      sourcePort: both('udp.srcport'),
      destinationPort: both('udp.dstport'),
      checksum: both('udp.checksum.status'),
    },
    tcp: {
      ports: `${text('tcp.srcport')} ${text('tcp.dstport')}`.trim(),
      checksum: text('tcp.checksum.status'),
    },
    icmp: { checksum: text('icmp.checksum.status') },
    vxlan: {
      flags: text('vxlan.flags'),
      vni: text('vxlan.vni'),
      reserved: `${text('vxlan.gbp')} ${text('vxlan.reserved8')}`,
    },
    ethernet: { source: both('eth.src'), destination: both('eth.dst'), type: both('eth.type') },
    malformed: text('_ws.malformed') === '' ? undefined : text('frame.protocols'),
  }
}
