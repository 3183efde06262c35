import { mkdirSync, writeFileSync } from 'node:fs'
import { z } from 'zod'
import { argv } from './argv.ts'
import { Daemon } from './daemon.ts'
import type { Machine } from './machine.ts'

const PORT = 5000

/** An image's or plugin's description in a registry (distribution spec, image manifest version 2). */
const registryManifest = z.object({
  config: z.object({ size: z.number() }),
  layers: z.array(z.object({ size: z.number() })),
})

/** Debian's docker-registry on a machine of the lab, for `docker plugin push` and `install` on the others. */
export class Registry {
  readonly machine: Machine
  readonly daemon: Daemon
  /** As it stands before a name: "172.18.10.95:5000". */
  readonly address: string

  constructor(machine: Machine) {
    this.machine = machine
    this.daemon = new Daemon(machine, 'registry')
    this.address = registryAddress(machine.ip)
  }

  /** Starts the registry, with the data of its last run. */
  async start(): Promise<void> {
    const config = this.machine.path('registry.json')
    mkdirSync(this.machine.path('registry-data'), { recursive: true })
    // JSON is YAML.
    const settings = {
      version: '0.1',
      log: { accesslog: { disabled: true }, level: 'warn' },
      storage: { filesystem: { rootdirectory: this.machine.path('registry-data') } },
      http: { addr: this.address },
    }
    writeFileSync(config, `${JSON.stringify(settings)}\n`)
    await this.daemon.start({
      argv: ['docker-registry', 'serve', config],
      ready: async () => (await this.#get('/v2/')) === '{}',
    })
  }

  /** Bytes that a machine downloads for NAME:TAG. */
  async downloadSize(name: string, tag: string): Promise<number> {
    const text = await this.#get(`/v2/${name}/manifests/${tag}`)
    const { config, layers } = registryManifest.parse(JSON.parse(text))
    return [config, ...layers].reduce((sum, { size }) => sum + size, 0)
  }

  async #get(path: string): Promise<string> {
    const accept = 'Accept: application/vnd.docker.distribution.manifest.v2+json'
    return this.machine.exec(
      argv`timeout 10 busybox wget -q -O - --header ${accept} http://${this.address}${path}`,
    )
  }
}

/** Where the registry of a machine listens; its dockerds must be told that it has no certificate. */
export const registryAddress = (ip: string): string => `${ip}:${PORT}`
