import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readFileSync, rmSync } from 'node:fs'
import { argv } from '../../../lab/argv.ts'
import { LAB_ENV } from '../../../lab/command.ts'
import type { DockerHost } from '../../../lab/docker-host.ts'
import { waitFor } from '../../support/wait.ts'

/** Everything that passes a host's TUN: what the forwarder delivers is here, whatever becomes of it then. */
export class TunCapture implements AsyncDisposable {
  readonly #file: string
  readonly #tcpdump: ChildProcess

  private constructor(file: string, tcpdump: ChildProcess) {
    this.#file = file
    this.#tcpdump = tcpdump
  }

  static async start(host: DockerHost): Promise<TunCapture> {
    const file = `/tmp/ovt-${process.pid}-tun-${host.name}.pcap`
    const tcpdump = spawn(
      'ip',
      argv`netns exec ${host.machine.netns} tcpdump -i ov-tun -n -U --immediate-mode -Z root -w ${file}`,
      { env: LAB_ENV, stdio: 'ignore' },
    )
    // The file begins when the capture does.
    await waitFor(() => existsSync(file) && readFileSync(file).length > 0, {
      what: 'tcpdump on the TUN',
      timeout: 30_000,
    })
    return new TunCapture(file, tcpdump)
  }

  /** Waits for a text to pass, and gives all that passed until then as one text. */
  async until(text: string): Promise<string> {
    return waitFor(
      () => {
        const passed = readFileSync(this.#file, 'latin1')
        return passed.includes(text) ? passed : null
      },
      { what: `"${text}" on the TUN`, timeout: 30_000 },
    )
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = once(this.#tcpdump, 'exit')
    this.#tcpdump.kill('SIGINT')
    await closed
    rmSync(this.#file, { force: true })
  }
}
