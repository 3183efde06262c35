import assert from 'node:assert/strict'
import type { ChildProcess } from 'node:child_process'
import { createInterface } from 'node:readline'
import { describe, test } from 'node:test'
import { endProgram } from '../../support/end-program.ts'
import type { Netns } from '../../support/netns.ts'
import { eventually, waitFor } from '../../support/wait.ts'
import { DualHosts, OWN4, UNDERLAYS } from './dual-hosts.ts'
import { programIn } from './two-hosts.ts'

const SENDER = new URL('send-datagram.ts', import.meta.url).pathname
const DISCARD = '9'

/** DSCP and congestion mark of packets inside: none, AF11 with ECT(0), EF with ECT(1), CS7 with CE. */
const INSIDE = [0, 0x2a, 0xb9, 0xe3]

/** What tcpdump says of the packets that arrive at a link of a host, a line each, those inside left out. */
class Arrivals implements AsyncDisposable {
  readonly #tcpdump: ChildProcess
  readonly #lines: string[] = []
  #said = ''

  private constructor(host: Netns, link: string, filter: string) {
    const options = ['-lnvi', link, '-Qin', '--immediate-mode']
    this.#tcpdump = programIn(host, 'tcpdump', ...options, filter)
    this.#tcpdump.stderr!.on('data', (chunk) => (this.#said += String(chunk)))
    createInterface({ input: this.#tcpdump.stdout! }).on('line', (line) => {
      if (/^\d/.test(line)) this.#lines.push(line) // the others are indented
    })
  }

  static async at(host: Netns, link: string, filter: string): Promise<Arrivals> {
    const arrivals = new Arrivals(host, link, filter)
    await waitFor(() => arrivals.#said.includes('listening on'), {
      what: 'tcpdump',
      timeout: 60_000,
    })
    return arrivals
  }

  async next(): Promise<string> {
    return waitFor(() => this.#lines.shift() ?? assert.fail(`tcpdump said ${this.#said}`), {
      what: 'a packet to arrive',
      timeout: 30_000,
    })
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await endProgram(this.#tcpdump)
  }
}

async function send(hosts: DualHosts, tos: number): Promise<void> {
  const ends = [OWN4.a, OWN4.b, DISCARD, '100', String(tos)]
  assert.equal(Number(await hosts.host('a').run(process.execPath, SENDER, ...ends)), 0)
}

/** The type of service or traffic class in what tcpdump says. */
function fieldOf(line: string): number {
  return Number.parseInt(/(?:tos|class) 0x(\w+)/.exec(line)?.[1] ?? '0', 16)
}

for (const underlay of UNDERLAYS) {
  describe(`the outer header of ${underlay.family}`, () => {
    for (const [dscp, expected] of [
      [0, INSIDE.map((tos) => tos & 3)],
      [46, INSIDE.map((tos) => 0xb8 | (tos & 3))],
      ['inherit', INSIDE],
    ] as const) {
      test(`lives 64 hops, is not cut, and has the mark and DSCP of choice ${dscp}`, async () => {
        await using hosts = await DualHosts.create(underlay)
        await hosts.ours('a', { dscp })
        await using arrivals = await Arrivals.at(hosts.host('b'), 'u0', 'udp dst port 8472')
        const headers: string[] = []
        for (const tos of INSIDE) {
          await send(hosts, tos)
          headers.push(await arrivals.next())
        }
        assert.deepEqual(headers.map(fieldOf), expected)
        for (const header of headers) {
          assert.match(header, underlay.family === 'ipv4' ? /ttl 64,/ : /hlim 64,/)
          if (underlay.family === 'ipv4') assert.match(header, /flags \[DF\]/)
        }
      })
    }

    test('brings a congestion mark from the way to the packet inside, or drops one that cannot bear it', async () => {
      await using hosts = await DualHosts.create(underlay)
      await hosts.ours('a')
      const forwarder = await hosts.ours('b')
      const ip = underlay.family === 'ipv4' ? 'ip' : 'ip6'
      for (const line of [
        'add table inet way',
        'add chain inet way out { type filter hook postrouting priority 0; }',
        `add rule inet way out udp dport 8472 ${ip} ecn set ce`,
      ]) {
        await hosts.host('a').run('nft', line)
      }
      await using arrivals = await Arrivals.at(hosts.host('b'), 'ov-tun', 'ip and udp')
      // One after the other: each has a port of its own, and may come by another socket.
      await send(hosts, 0xb8)
      await eventually(async () => assert.equal((await forwarder.counters()).rx_drop_ecn, 1), {
        what: 'the first to be dropped',
      })
      for (const [tos, expected] of [
        [0xb9, 0xbb],
        [0x02, 0x03],
      ] as const) {
        await send(hosts, tos)
        assert.equal(fieldOf(await arrivals.next()), expected)
      }
      assert.equal((await forwarder.counters()).rx_drop_ecn, 1)
    })
  })
}
