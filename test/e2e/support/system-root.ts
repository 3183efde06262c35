import { existsSync, readFileSync, readlinkSync } from 'node:fs'
import { join } from 'node:path'
import { command } from '../../../lab/command.ts'
import { Daemon } from '../../../lab/daemon.ts'
import type { DockerHost } from '../../../lab/docker-host.ts'
import { netnsName } from '../../../lab/record.ts'
import { OverlayError } from '../../../src/errors.ts'
import { childrenOf } from '../../../lab/proc.ts'
import { ROOT } from '../../support/source-file.ts'

const SCRIPT = join(import.meta.dirname, 'system-root.sh')

/**
 * A root file system of its own in a lab's host, with the real systemd as its process 1: a freshly installed machine that
 * nothing written can leave. It has the host's network, /run and dockerd, and this project to read; units are only what is installed into it.
 */
export class SystemRoot {
  readonly host: DockerHost
  readonly #daemon: Daemon

  constructor(host: DockerHost) {
    this.host = host
    this.#daemon = new Daemon(host.machine, 'systemd')
  }

  /** @param lab the name of the host's lab */
  async start(lab: string): Promise<void> {
    await this.#daemon.start({
      argv: ['sh', SCRIPT, netnsName(lab, this.host.name), ROOT],
      ready: async () => (await this.exec('systemctl', 'is-system-running')) === 'running',
    })
  }

  /** Runs a program in there. @throws OverlayError host_state */
  async exec(...words: string[]): Promise<string> {
    return this.#run(words)
  }

  /** Runs shell commands as somebody types them, up to the first that fails. @throws OverlayError host_state */
  async sh(lines: string, folder = '/root'): Promise<string> {
    return this.#run(['sh', '-e', '-c', `cd ${folder}\n${lines}`])
  }

  /** What systemd and its services wrote. */
  log(): string {
    const services = this.host.machine.path('run', 'services.log')
    return this.#daemon.log() + (existsSync(services) ? readFileSync(services, 'utf8') : '')
  }

  async #run(words: readonly string[]): Promise<string> {
    const enter = ['nsenter', '--target', String(this.#init()), '--all', '--root', '--wd', '--']
    return command([...enter, ...words])
  }

  /** systemd, the only child of the program that waits for it; until it runs there is nothing to enter. */
  #init(): number {
    const [init] = childrenOf(this.#daemon.pid ?? 0)
    // Whatever is run before it has its own root would be run in the real machine's.
    if (init === undefined || readlinkSync(`/proc/${init}/root`) !== '/mnt/root') {
      throw new OverlayError('host_state', `systemd does not run on ${this.host.name}`)
    }
    return init
  }
}
