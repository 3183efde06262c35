import { request } from 'node:http'
import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import Docker from 'dockerode'
import { ETCD_ENDPOINT } from './address.ts'
import { argv } from './argv.ts'
import { command, LAB_ENV } from './command.ts'
import { Container } from './container.ts'
import { Daemon } from './daemon.ts'
import { hostText } from './host-text.ts'
import { IMAGE, IMAGE_CHANGES } from './image.ts'
import type { Machine } from './machine.ts'
import { cgroupName } from './record.ts'

const PLUGIN = join(import.meta.dirname, '..', 'plugin', 'main.ts')

/** As the README's systemd unit has it: the program starts faster and is 40 MB smaller. */
const NODE_SETTINGS = {
  NODE_COMPILE_CACHE: join(import.meta.dirname, '..', 'node_modules', '.cache', 'overlay-ts'),
  NODE_OPTIONS: '--max-semi-space-size=2',
}

/** moby libcontainerd/supervisor/remote_daemon.go, startupTimeout. */
const CONTAINERD_LATE = 'timeout waiting for containerd to start'

export interface PluginOptions {
  /** Added to, and over, the lab's own settings. */
  readonly env?: Readonly<Record<string, string>>
  /** Another program than plugin/main.ts, run by this Node. */
  readonly program?: string
}

export interface RunOptions {
  /** Docker networks; the first at start, the others connected afterwards. Docker's default bridge unless told. */
  readonly network?: string | readonly string[]
  /** Further words before the image: `['--ip', '10.33.5.9']`. */
  readonly options?: readonly string[]
  /** Instead of the image's own service. */
  readonly command?: readonly string[]
}

/** A machine with its own real dockerd and, when started, its own overlay-ts. */
export class DockerHost {
  readonly name: string
  readonly ip: string
  readonly machine: Machine
  readonly dockerd: Daemon
  readonly plugin: Daemon
  /** The same socket inside the machine is /run/docker.sock. */
  readonly socket: string
  /** The same socket inside the machine is /run/docker/plugins/overlay-ts.sock. */
  readonly pluginSocket: string
  /** STATE_DIR of the plugin. */
  readonly stateDir: string
  readonly #lab: string

  constructor(lab: string, machine: Machine) {
    this.#lab = lab
    this.name = machine.name
    this.ip = machine.ip
    this.machine = machine
    this.dockerd = new Daemon(machine, 'dockerd')
    this.plugin = new Daemon(machine, 'plugin')
    this.socket = machine.path('run', 'docker.sock')
    this.pluginSocket = machine.path('run', 'docker', 'plugins', 'overlay-ts.sock')
    this.stateDir = machine.path('overlay-ts')
  }

  /**
   * Starts dockerd; further words go to its command line. It ends when its containerd has not answered within
   * 15 s, which a busy disk can cost, and is then started again, as Docker's own unit does (`Restart=always`).
   */
  async startDocker(flags: readonly string[] = []): Promise<void> {
    // An empty configuration, unless a test wrote one: the real machine's daemon.json is not ours.
    const config = this.machine.path('daemon.json')
    if (!existsSync(config)) writeFileSync(config, '{}\n')
    const start = async (): Promise<void> =>
      this.dockerd.start({
        argv: argv`dockerd -H unix:///run/docker.sock --pidfile /run/docker.pid --exec-root /run/docker
          --data-root ${this.machine.path('docker')} --config-file ${config}
          --storage-driver overlay2 --exec-opt native.cgroupdriver=cgroupfs
          --cgroup-parent /${cgroupName(this.#lab, this.name)} ${flags}`,
        ready: async () => (await ask(this.socket, 'GET', '/_ping')) === 200,
      })
    const written = this.dockerd.log().length
    try {
      await start()
    } catch (error) {
      if (!this.dockerd.log().slice(written).includes(CONTAINERD_LATE)) throw error
      await start()
    }
  }

  /** SIGTERM, which stops the containers too; SIGKILL leaves them running, as a crash does. */
  async stopDocker(signal: NodeJS.Signals = 'SIGTERM'): Promise<void> {
    await this.dockerd.kill(signal)
  }

  async importImage(archive: string): Promise<void> {
    const changes = IMAGE_CHANGES.flatMap((change) => ['--change', change])
    await this.docker('import', ...changes, archive, IMAGE)
  }

  /** Starts overlay-ts and waits until it answers /Plugin.Activate; dockerd may run already or not yet. */
  async startPlugin({ env = {}, program = PLUGIN }: PluginOptions = {}): Promise<void> {
    mkdirSync(this.stateDir, { recursive: true })
    await this.plugin.start({
      argv: [process.execPath, program],
      env: {
        ...NODE_SETTINGS,
        ETCD_ENDPOINTS: ETCD_ENDPOINT,
        STATE_DIR: this.stateDir,
        SOCKET: '/run/docker/plugins/overlay-ts.sock',
        DOCKER_HOST: 'unix:///run/docker.sock',
        ADMIN_LISTEN: '127.0.0.1:9847',
        ...env,
      },
      ready: async () => (await ask(this.pluginSocket, 'POST', '/Plugin.Activate')) === 200,
    })
  }

  /** SIGTERM, and waits for the drain to end. */
  async stopPlugin(): Promise<void> {
    await this.plugin.kill('SIGTERM')
  }

  async killPlugin(signal: NodeJS.Signals = 'SIGKILL'): Promise<void> {
    await this.plugin.kill(signal)
  }

  pluginLog(): string {
    return this.plugin.log()
  }

  /** The docker command against this host. @throws OverlayError host_state with what docker said */
  async docker(...args: string[]): Promise<string> {
    return command(this.dockerCommand(args), { env: this.dockerEnv() })
  }

  dockerCommand(args: readonly string[]): string[] {
    return ['/usr/bin/docker', '-H', `unix://${this.socket}`, ...args]
  }

  dockerEnv(): NodeJS.ProcessEnv {
    return { ...LAB_ENV, DOCKER_CONFIG: this.machine.path('docker-client') }
  }

  dockerode(): Docker {
    return new Docker({ socketPath: this.socket })
  }

  /** Runs a program on the host itself. @throws OverlayError host_state */
  async exec(...words: string[]): Promise<string> {
    return this.machine.exec(words)
  }

  /** GET of the plugin's admin listener from the host itself: `admin('/metrics')`. */
  async admin(path: string): Promise<string> {
    return this.machine.exec(argv`timeout 30 busybox wget -q -O - http://127.0.0.1:9847${path}`)
  }

  /** Starts a container of the lab's image in the background. */
  async run(
    name: string,
    { network = [], options = [], command: program = [] }: RunOptions = {},
  ): Promise<Container> {
    const [first, ...others] = typeof network === 'string' ? [network] : network
    const attach = first === undefined ? [] : ['--network', first]
    await this.docker(
      ...argv`run -d --name ${name} --hostname ${name} ${attach} ${options} ${IMAGE} ${program}`,
    )
    for (const other of others) await this.docker('network', 'connect', other, name)
    return new Container(this, name)
  }

  container(name: string): Container {
    return new Container(this, name)
  }

  /** The host's whole network state as comparable text. */
  async stateText(): Promise<string> {
    return hostText(this.machine, this.stateDir)
  }
}

/** The status of an HTTP answer on a unix socket. */
async function ask(socketPath: string, method: string, path: string): Promise<number | undefined> {
  return new Promise((resolve, reject) => {
    const call = request({ socketPath, method, path, timeout: 2000 }, (answer) => {
      answer.resume()
      answer.on('end', () => resolve(answer.statusCode))
      answer.on('error', reject)
    })
    call.on('timeout', () => call.destroy(new Error('no answer within 2 s')))
    call.on('error', reject)
    call.end()
  })
}
