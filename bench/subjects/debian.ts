import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { command } from '../../lab/command.ts'
import { Daemon, type DaemonSpec } from '../../lab/daemon.ts'
import type { DockerHost } from '../../lab/docker-host.ts'
import { OverlayError } from '../../src/errors.ts'

const SETUP = join(import.meta.dirname, '..', 'setup.sh')

/** Debian's packages, unpacked in a folder; bench/setup.sh says why not installed. */
export class Debian {
  readonly #folder: string

  private constructor(folder: string) {
    this.#folder = folder
  }

  /** Fetches the packages when they are not there. @throws OverlayError host_state */
  static async get(): Promise<Debian> {
    return new Debian(await command(['sh', SETUP], { timeout: 600_000 }))
  }

  /** The version of a package, as Debian numbers it. @throws OverlayError not_found */
  versionOf(name: string): string {
    const lines = readFileSync(this.path('packages.txt'), 'utf8').split('\n')
    const found = lines.map((line) => line.split(' ')).find(([first]) => first === name)
    if (found) return found[1]!
    throw new OverlayError('not_found', `bench/setup.sh fetched no package ${name}`)
  }

  /** A file of the packages: `path('usr/sbin/tincd')`. */
  path(file: string): string {
    return join(this.#folder, file)
  }

  /** What their programs need beside LAB_ENV. */
  get env(): { readonly LD_LIBRARY_PATH: string } {
    const folders = ['lib', 'usr/lib'].flatMap((lib) =>
      readdirSync(this.path(lib))
        .filter((name) => name.endsWith('-linux-gnu'))
        .map((name) => this.path(join(lib, name))),
    )
    return { LD_LIBRARY_PATH: folders.join(':') }
  }

  /** Runs one of their programs on a host to its end. @throws OverlayError host_state */
  async run(host: DockerHost, words: readonly string[], input = ''): Promise<string> {
    const [program, ...args] = words
    const env = Object.entries(this.env).map(([name, value]) => `${name}=${value}`)
    return host.machine.exec(['env', ...env, this.path(program!), ...args], { input })
  }

  /** Starts one of their programs on a host; it is gone at the latest with the lab. @throws OverlayError host_state */
  async start(host: DockerHost, { name, argv, env, ready }: DaemonSpec): Promise<Daemon> {
    const daemon = new Daemon(host.machine, name)
    const [program, ...args] = argv
    await daemon.start({
      argv: [this.path(program!), ...args],
      env: { ...this.env, ...env },
      ready,
    })
    return daemon
  }
}

/** Ends a daemon, by force when it does not hear. */
export async function stop(daemon: Daemon): Promise<void> {
  await daemon.kill('SIGTERM').catch(() => daemon.kill('SIGKILL'))
}

/** The numbers of the daemons of a host that run. */
export function pidsOn(host: DockerHost, daemons: readonly Daemon[]): number[] {
  return daemons.flatMap(({ machine, pid }) =>
    machine === host.machine && pid !== undefined ? [pid] : [],
  )
}
