import { execFile, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { waitFor } from '../../support/wait.ts'
import type { Site } from './sites.ts'
import { programIn } from './two-hosts.ts'

const exec = promisify(execFile)

/** Frames are cut to the MTU. The kernel's buffer has a place of this size for each. */
const LARGEST = 2048

/** tshark's words for a checksum it has computed. */
const BAD = '0'
const GOOD = '1'

const FIELDS = ['ip', 'udp', 'tcp', 'icmp'].map((name) => `${name}.checksum.status`)

/**
 * In place of 0x0000, which is the same number: so the kernel writes it for TCP as for UDP when it completes
 * a checksum (net/core/dev.c skb_checksum_help), of one packet in 65,536. tshark calls that wrong for TCP.
 */
const MANGLED_ZERO = '0xffff'
const TCP_STATUS = 'tcp.checksum.status'

/**
 * What is sent is random bytes from any port, which tshark would read as whatever protocol has that port, and
 * find malformed. A later rule goes before an earlier one.
 */
const RULES = ['tcp.port==1-65535,data', 'udp.port==1-65535,data', 'udp.port==8472,vxlan']

/** What tcpdump says when it is asked. */
const COUNTS = /(\d+) packets? captured, (\d+) packets? received by filter, (\d+) packets? dropped/

export interface Judgement {
  /** Frames that are malformed or have a bad checksum, as tshark tells of them. */
  readonly faults: readonly string[]
  /** Checksums found right, by field, outer and inner together. */
  readonly good: Readonly<Record<string, number>>
}

/**
 * What a host sends on its underlay, as it is on a wire. The link must neither cut nor complete anything
 * after the capture's place: `tx off`.
 */
export class WireCapture implements AsyncDisposable {
  readonly #folder = mkdtempSync(join(tmpdir(), 'ovt-wire-'))
  readonly #files: string[] = []
  #tcpdump: ChildProcess | undefined
  #said = ''

  async start({ host, underlay }: Site): Promise<void> {
    const file = join(this.#folder, `${this.#files.length}.pcap`)
    this.#files.push(file)
    const where = ['-i', 'u0', '-n', '-s', String(LARGEST), '-B', '65536', '--immediate-mode']
    const what = ['-Z', 'root', '-w', file, `udp port 8472 and src host ${underlay}`]
    this.#said = ''
    this.#tcpdump = programIn(host, 'tcpdump', ...where, ...what)
    this.#tcpdump.stderr!.on('data', (chunk) => (this.#said += String(chunk)))
    await waitFor(() => this.#said.includes('listening on'), {
      what: 'tcpdump',
      every: 5,
      timeout: 60_000,
    })
  }

  /** Ends the capture when it has all that has passed. @throws Error when the kernel dropped some of it */
  async stop(): Promise<void> {
    await waitFor(() => this.#hasCaughtUp(), { what: 'tcpdump to catch up', timeout: 30_000 })
    await this.#end()
    if (!/^0 packets dropped by kernel/m.test(this.#said)) throw new Error(this.#said)
  }

  /** tshark's opinion of all that was captured, every checksum computed. */
  async judge(): Promise<Judgement> {
    const whole = join(this.#folder, 'whole.pcap')
    await exec('mergecap', ['-w', whole, ...this.#files])
    const checks = ['ip', 'udp', 'tcp'].map((name) => `${name}.check_checksum:TRUE`)
    const columns = [...FIELDS, '_ws.malformed', 'tcp.checksum', '_ws.col.Info']
    const { stdout } = await exec(
      'tshark',
      [
        '-nr',
        whole,
        '-Tfields',
        '-Eseparator=;',
        ...RULES.flatMap((rule) => ['-d', rule]),
        ...checks.flatMap((check) => ['-o', check]),
        ...columns.flatMap((column) => ['-e', column]),
      ],
      { maxBuffer: 1 << 28 },
    )
    const faults: string[] = []
    const good: Record<string, number> = {}
    for (const line of stdout.split('\n').filter(Boolean)) {
      const values = line.split(';')
      const isMalformed = values[FIELDS.length] !== ''
      const isMangled = values[FIELDS.length + 1] === MANGLED_ZERO
      let isBad = isMalformed
      for (const [index, field] of FIELDS.entries()) {
        const verdicts = values[index]!.split(',')
        if (verdicts.includes(BAD) && !(isMangled && field === TCP_STATUS)) isBad = true
        good[field] = (good[field] ?? 0) + verdicts.filter((verdict) => verdict === GOOD).length
      }
      if (isBad) faults.push(line)
    }
    return { faults, good }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#end()
    rmSync(this.#folder, { recursive: true })
  }

  /** tcpdump forgets, when it is ended, what the kernel has yet to hand it; asked, it says how much it has. */
  async #hasCaughtUp(): Promise<boolean> {
    const before = this.#said.length
    this.#tcpdump!.kill('SIGUSR1')
    const [, captured, received, dropped] = await waitFor(
      () => COUNTS.exec(this.#said.slice(before)),
      { what: 'tcpdump to count', every: 5 },
    )
    return Number(captured) + Number(dropped) === Number(received)
  }

  async #end(): Promise<void> {
    const tcpdump = this.#tcpdump
    this.#tcpdump = undefined
    if (!tcpdump || tcpdump.exitCode !== null || tcpdump.signalCode !== null) return
    const closed = once(tcpdump, 'close')
    tcpdump.kill('SIGINT')
    await closed
  }
}
