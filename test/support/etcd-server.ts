import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { openSync, closeSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { reservedPort } from './reserved-port.ts'

export interface EtcdServerOptions {
  /** Run inside this existing network namespace; then `ip` must be an address there. */
  readonly netns?: string
  /** Address to listen on. */
  readonly ip?: string
  /** 0 or absent: a free one. Inside a namespace the default is 2379. */
  readonly clientPort?: number
  /** Kept when given; otherwise a temporary folder that goes with the server. */
  readonly dataDir?: string
  /** PEM files: the server's own pair, and the authority that client certificates must be of. */
  readonly tls?: { readonly cert: string; readonly key: string; readonly clientCa?: string }
  /** PEM files with which this helper itself asks for health and compaction. */
  readonly clientTls?: { readonly ca: string; readonly cert?: string; readonly key?: string }
  /** Further flags, by name without dashes. */
  readonly flags?: Readonly<Record<string, string>>
}

/** How long a start may take before it is called failed; it usually takes a few hundred ms. */
const START_MS = 20_000

/** Runs a program to its end. @throws Error with its output when it fails */
async function run(command: readonly string[]): Promise<string> {
  const [program = '', ...rest] = command
  const child = spawn(program, rest, {
    env: { ...process.env, ETCDCTL_API: '3' },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const chunks: Buffer[] = []
  child.stdout.on('data', (chunk: Buffer) => chunks.push(chunk))
  child.stderr.on('data', (chunk: Buffer) => chunks.push(chunk))
  const [code] = (await once(child, 'close')) as [number | null]
  const output = Buffer.concat(chunks).toString()
  if (code !== 0) throw new Error(`${command.join(' ')}: exit ${code}: ${output.trim()}`)
  return output
}

/** A real etcd, alone in its cluster. `await using etcd = await EtcdServer.start()`. */
export class EtcdServer implements AsyncDisposable {
  readonly endpoint: string
  readonly dataDir: string
  readonly #options: EtcdServerOptions
  readonly #ip: string
  readonly #peerPort: number
  #child: ChildProcess | null = null

  private constructor(
    options: EtcdServerOptions,
    ip: string,
    dataDir: string,
    clientPort: number,
    peerPort: number,
  ) {
    this.#options = options
    this.#ip = ip
    this.dataDir = dataDir
    this.#peerPort = peerPort
    this.endpoint = `${options.tls ? 'https' : 'http'}://${ip}:${clientPort}`
  }

  static async start(options: EtcdServerOptions = {}): Promise<EtcdServer> {
    const ip = options.ip ?? '127.0.0.1'
    const dataDir = options.dataDir ?? (await mkdtemp(join(tmpdir(), 'ovt-etcd-')))
    const inside = options.netns !== undefined
    const clientPort = options.clientPort || (inside ? 2379 : await reservedPort())
    const peerPort = inside ? clientPort + 1 : await reservedPort()
    const server = new EtcdServer(options, ip, dataDir, clientPort, peerPort)
    try {
      await server.restart()
    } catch (error) {
      await server[Symbol.asyncDispose]()
      throw error
    }
    return server
  }

  get endpoints(): string[] {
    return [this.endpoint]
  }

  get pid(): number | undefined {
    return this.#child?.pid
  }

  /** Starts the program on the same address and data, and waits until it answers. */
  async restart(): Promise<void> {
    await this.kill()
    const peer = `http://${this.#ip}:${this.#peerPort}`
    const log = join(this.dataDir, 'etcd.log')
    const fd = openSync(log, 'a')
    const { tls, flags: more = {} } = this.#options
    const flags = {
      name: 'test',
      'data-dir': join(this.dataDir, 'member'),
      'listen-client-urls': this.endpoint,
      'advertise-client-urls': this.endpoint,
      'listen-peer-urls': peer,
      'initial-advertise-peer-urls': peer,
      'initial-cluster': `test=${peer}`,
      logger: 'zap',
      'log-level': 'warn',
      ...(tls && { 'cert-file': tls.cert, 'key-file': tls.key }),
      ...(tls?.clientCa && { 'client-cert-auth': 'true', 'trusted-ca-file': tls.clientCa }),
      ...more,
    }
    // However this process ends, etcd ends with it.
    const tied = ['setpriv', '--pdeathsig', 'KILL', ...this.#prefix()]
    const command = [
      ...tied,
      'etcd',
      ...Object.entries(flags).map(([flag, value]) => `--${flag}=${value}`),
    ]
    const [program = '', ...rest] = command
    const child = spawn(program, rest, { stdio: ['ignore', fd, fd] })
    closeSync(fd)
    this.#child = child
    const deadline = performance.now() + START_MS
    for (;;) {
      if (child.exitCode !== null || child.signalCode !== null || performance.now() > deadline) {
        throw new Error(`etcd did not start at ${this.endpoint}:\n${await readFile(log, 'utf8')}`)
      }
      try {
        await this.ctl('get', '--keys-only', '--limit', '1', 'x')
        return
      } catch (error) {
        // With user accounts switched on the question is refused, which is an answer too.
        if (/user name is empty|permission denied/.test(String(error))) return
        await sleep(50)
      }
    }
  }

  /** kill -9, as a power cut does. */
  async kill(): Promise<void> {
    const child = this.#child
    this.#child = null
    if (!child || child.exitCode !== null || child.signalCode !== null) return
    child.kill('SIGCONT')
    child.kill('SIGKILL')
    await once(child, 'exit')
  }

  /** Stops answering while its connections stay open; `resume` ends it. */
  pause(): void {
    this.#child?.kill('SIGSTOP')
  }

  resume(): void {
    this.#child?.kill('SIGCONT')
  }

  /** Kills the server and empties its data: it comes back as a new cluster. */
  async wipe(): Promise<void> {
    await this.kill()
    await rm(join(this.dataDir, 'member'), { recursive: true, force: true })
  }

  /** Forgets the history before the current revision. */
  async compact(): Promise<void> {
    const status = JSON.parse(await this.ctl('endpoint', 'status', '-w', 'json')) as {
      Status: { header: { revision: number } }
    }[]
    await this.ctl('compact', String(status[0]?.Status.header.revision), '--physical')
  }

  /** etcdctl at this server. @returns its output */
  ctl(...args: string[]): Promise<string> {
    const { clientTls } = this.#options
    const files = [
      ['--cacert', clientTls?.ca],
      ['--cert', clientTls?.cert],
      ['--key', clientTls?.key],
    ].flatMap(([flag, file]) => (flag && file ? [flag, file] : []))
    const limits = ['--command-timeout', '2s', '--dial-timeout', '2s']
    return run([
      ...this.#prefix(),
      'etcdctl',
      `--endpoints=${this.endpoint}`,
      ...limits,
      ...files,
      ...args,
    ])
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill()
    if (this.#options.dataDir === undefined)
      await rm(this.dataDir, { recursive: true, force: true })
  }

  #prefix(): string[] {
    const { netns } = this.#options
    return netns === undefined ? [] : ['ip', 'netns', 'exec', netns]
  }
}
