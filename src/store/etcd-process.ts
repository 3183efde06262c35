import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { chmod, mkdir, readFile, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { messageOf, OverlayError } from '../errors.ts'
import type { Log } from '../log.ts'
import { authorityOf } from '../net/authority.ts'
import { etcdFailure } from './etcd-failure.ts'
import { dataFlag, etcdFlags, loopbackUrl, type EtcdPlace } from './etcd-flags.ts'
import { EtcdOutput } from './etcd-output.ts'
import { ETCD_ENVIRONMENT } from './etcd-program.ts'

/** etcd's own word on its health: `sick` with an alarm raised or a disk that does not write, `silent` when it says nothing. */
export type Health = 'well' | 'sick' | 'silent'

/** A log to be replayed may be long. */
const START_MS = 60_000
const SICK_MS = 5000
const STOP_MS = 5000
const POLL_MS = 50

/** Asks the etcd at the URL how it is. */
export async function healthOf(url: string, timeoutMs: number): Promise<Health> {
  try {
    const response = await fetch(`${url}/health`, { signal: AbortSignal.timeout(timeoutMs) })
    const { health } = (await response.json()) as { health?: unknown }
    return health === 'true' || health === true ? 'well' : 'sick'
  } catch {
    return 'silent'
  }
}

/** A running etcd program, bound to the life of this process. */
export class EtcdProcess {
  readonly pid: number
  /** Settles when it is gone. */
  readonly gone: Promise<void>
  readonly #child: ChildProcess
  readonly #output: EtcdOutput
  readonly #place: EtcdPlace
  readonly #hadData: boolean

  private constructor(child: ChildProcess, log: Log, place: EtcdPlace, hadData: boolean) {
    this.pid = child.pid!
    this.#child = child
    this.gone = once(child, 'exit').then(() => undefined)
    this.#output = new EtcdOutput(child.stderr!, log)
    this.#place = place
    this.#hadData = hadData
  }

  /**
   * Starts the program. The kernel kills it when this process ends, however that is (prctl(2),
   * PR_SET_PDEATHSIG): its data is safe, since etcd answers only what it has synced.
   * @throws OverlayError host_state when a port is taken or the program cannot be started
   */
  static async launch(place: EtcdPlace, program: string, log: Log): Promise<EtcdProcess> {
    const { dataDir } = place
    for (const folder of [dataDir, join(dataDir, 'data')]) {
      await mkdir(folder, { recursive: true, mode: 0o700 })
      await chmod(folder, 0o700)
    }
    await endLeftover(dataDir)
    await refuseTakenPorts(place)
    const hadData = existsSync(join(dataDir, 'data', 'member'))
    const child = spawn('setpriv', ['--pdeathsig', 'KILL', '--', program, ...etcdFlags(place)], {
      env: ETCD_ENVIRONMENT,
      stdio: ['ignore', 'ignore', 'pipe'],
      // Ctrl-C in a terminal is ours to hear: etcd is told at the end.
      detached: true,
    })
    try {
      await once(child, 'spawn')
    } catch (error) {
      throw new OverlayError(
        'host_state',
        `the program setpriv cannot be started (${messageOf(error)}): install util-linux`,
        { cause: error },
      )
    }
    await writeFile(pidFile(dataDir), String(child.pid))
    return new EtcdProcess(child, log, place, hadData)
  }

  /** How it ended, "exit 1" or "SIGKILL"; null while it runs. */
  get ended(): string | null {
    const { exitCode, signalCode } = this.#child
    return signalCode ?? (exitCode === null ? null : `exit ${exitCode}`)
  }

  /** What it said last. */
  get lastWords(): string {
    return this.#output.lastWords
  }

  /** Waits until it answers. @throws OverlayError host_state in a sentence that says what to do, also when aborted */
  async untilServing(signal: AbortSignal): Promise<void> {
    const { dataDir } = this.#place
    const begun = performance.now()
    const passed = (): number => performance.now() - begun
    for (;;) {
      const health = await healthOf(loopbackUrl(this.#place), 1000)
      // With an alarm raised it serves and stays sick; without, it has yet to become its own leader.
      if (health === 'well' || (health === 'sick' && passed() > SICK_MS)) return
      const how = this.ended
      if (how !== null) {
        const { lastWords } = this
        const reason = etcdFailure({ how, lastWords, dataDir, hadData: this.#hadData })
        throw new OverlayError('host_state', reason)
      }
      if (signal.aborted) throw new OverlayError('host_state', 'etcd was stopped as it started')
      if (passed() > START_MS) {
        const said = this.lastWords.split('\n').slice(-2).join('; ') || 'it said nothing'
        throw new OverlayError(
          'host_state',
          `etcd does not answer ${START_MS / 1000} s after its start: ${said}`,
        )
      }
      await sleep(POLL_MS)
    }
  }

  /** Ends it, at once with SIGKILL, and waits until it is gone. */
  async end(signal: 'SIGTERM' | 'SIGKILL' = 'SIGTERM'): Promise<void> {
    for (const each of [signal, 'SIGKILL'] as const) {
      if (this.ended === null) this.#child.kill(each)
      if (await until(async () => this.ended !== null, STOP_MS)) break
    }
    await rm(pidFile(this.#place.dataDir), { force: true })
  }
}

const pidFile = (dataDir: string): string => join(dataDir, 'etcd.pid')

async function until(condition: () => Promise<boolean>, ms: number): Promise<boolean> {
  const deadline = performance.now() + ms
  for (;;) {
    if (await condition()) return true
    if (performance.now() >= deadline) return false
    await sleep(POLL_MS)
  }
}

/** Ends what runs on the same data: two would wait for each other's lock for ever. */
async function endLeftover(dataDir: string): Promise<void> {
  const pid = Number(await readFile(pidFile(dataDir), 'utf8').catch(() => '0'))
  // Empty for a zombie and for nothing at all; another process may have the number by now.
  const isGone = async (): Promise<boolean> => {
    const command = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')
    return !command.split('\0').includes(dataFlag(dataDir))
  }
  if (pid <= 0 || (await isGone())) return
  process.kill(pid, 'SIGKILL')
  if (await until(isGone, STOP_MS)) return
  throw new OverlayError(
    'host_state',
    `another etcd, process ${pid}, works on ${dataDir} and does not end on SIGKILL`,
  )
}

async function refuseTakenPorts(place: EtcdPlace): Promise<void> {
  const { port, others } = place
  for (const ip of ['127.0.0.1', ...(others === null ? [] : [others.ip])]) {
    const failure = await bindFailure(ip, port)
    if (failure === null) continue
    if (failure === 'EADDRNOTAVAIL') {
      throw new OverlayError(
        'host_state',
        `ETCD_LISTEN: this host has no address ${ip}; give one of its own (see "ip address")`,
      )
    }
    if (failure !== 'EADDRINUSE') {
      throw new OverlayError(
        'host_state',
        `etcd cannot listen on ${authorityOf(ip, port)}: ${failure}`,
      )
    }
    const url = `http://${authorityOf(ip, port)}`
    const use =
      (await healthOf(url, 1000)) === 'silent'
        ? `port ${port} of ${ip}, where this host's own etcd listens, is taken by another program`
        : `another etcd answers at ${url}, where this host's own listens: set ETCD_ENDPOINTS=${url} to use that one`
    throw new OverlayError(
      'host_state',
      `${use}; stop it, or choose another port with ETCD_LISTEN=${authorityOf(others?.ip ?? '127.0.0.1', port + 11)}`,
    )
  }
}

/** The code of the error that listening there meets; null for none. */
async function bindFailure(host: string, port: number): Promise<string | null> {
  const server = createServer()
  try {
    server.listen({ host, port, exclusive: true })
    await once(server, 'listening')
    return null
  } catch (error) {
    return error instanceof Error && 'code' in error ? String(error.code) : messageOf(error)
  } finally {
    server.close()
  }
}
