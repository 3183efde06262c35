import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { rmSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { command, LAB_ENV } from '../../../lab/command.ts'
import type { Lab } from '../../../lab/lab.ts'
import { portName } from '../../../lab/switch.ts'
import { OverlayError } from '../../../src/errors.ts'

let made = 0

/** Everything that passes a machine's cable, kept in a file until disposed of. */
export class Capture implements AsyncDisposable {
  readonly #file: string
  readonly #tcpdump: ChildProcess

  private constructor(file: string, tcpdump: ChildProcess) {
    this.#file = file
    this.#tcpdump = tcpdump
  }

  /** Starts capturing at the switch's side of the cable and waits until it does. */
  static async start(lab: Lab, machine: string): Promise<Capture> {
    const file = `/tmp/ovt-${process.pid}-capture-${++made}.pcap`
    // Headers are enough; the kernel hands them over, and they are written, as they come.
    const words = [
      'tcpdump',
      '-i',
      portName(machine),
      '-n',
      '-U',
      '-s',
      '128',
      '-B',
      '8192',
      '--immediate-mode',
    ]
    const tcpdump = spawn(
      'ip',
      ['netns', 'exec', lab.switch.netns, ...words, '-Z', 'root', '-w', file],
      { env: LAB_ENV, stdio: ['ignore', 'ignore', 'pipe'] },
    )
    const lines = createInterface({ input: tcpdump.stderr })
    const said: string[] = []
    for await (const line of lines) {
      said.push(line)
      if (line.includes('listening on')) return new Capture(file, tcpdump)
    }
    throw new OverlayError('host_state', `tcpdump did not start: ${said.join('\n')}`)
  }

  /** Ends the capture; packets of the last moment are in the file. */
  async stop(): Promise<void> {
    if (this.#tcpdump.exitCode !== null || this.#tcpdump.signalCode !== null) return
    const closed = once(this.#tcpdump, 'exit')
    this.#tcpdump.kill('SIGINT')
    await closed
  }

  /** The captured packets that match an expression of pcap-filter(7), a line each. */
  async packets(filter: string): Promise<string[]> {
    const text = await command(['tcpdump', '-n', '-r', this.#file, filter])
    return text.split('\n').filter((line) => line !== '')
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop()
    rmSync(this.#file, { force: true })
  }
}
