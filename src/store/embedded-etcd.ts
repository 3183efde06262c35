import { spawn, type ChildProcess } from 'node:child_process'
import { closeSync, openSync } from 'node:fs'
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { messageOf, OverlayError } from '../errors.ts'
import type { Log } from '../log.ts'

export interface EmbeddedEtcdOptions {
  /** Folder of its data, its log and its process id. */
  readonly dataDir: string
  readonly log: Log
  /** Address to listen on: 127.0.0.1, or an underlay address once other hosts use this etcd. */
  readonly ip?: string
  /** 2379 unless told. */
  readonly port?: number
  /** The program; "etcd" on the PATH unless told. */
  readonly program?: string
}

export interface EmbeddedEtcd {
  readonly endpoints: readonly string[]
  /** Ends the program and waits until it is gone. */
  stop(): Promise<void>
}

const START_MS = 20_000
/** How long a leftover may take to answer before it is replaced. */
const LEFTOVER_MS = 3000
const STOP_MS = 5000
const POLL_MS = 50
/** A single member talks to no peer; its peer listener takes any port and this one is only a name. */
const PEER_NAME = 'http://127.0.0.1:2380'

async function answers(endpoint: string): Promise<boolean> {
  try {
    const response = await fetch(`${endpoint}/health`, { signal: AbortSignal.timeout(1000) })
    const { health } = (await response.json()) as { health?: unknown }
    return health === 'true' || health === true
  } catch {
    return false
  }
}

async function until(condition: () => Promise<boolean>, ms: number): Promise<boolean> {
  const deadline = performance.now() + ms
  while (performance.now() < deadline) {
    if (await condition()) return true
    await sleep(POLL_MS)
  }
  return false
}

/** The command line of a live process; empty when there is none, or only a zombie. */
async function commandOf(pid: number): Promise<string> {
  try {
    return (await readFile(`/proc/${pid}/cmdline`, 'utf8')).replaceAll('\0', ' ')
  } catch {
    return ''
  }
}

async function end(pid: number, dataFlag: string): Promise<void> {
  const gone = async (): Promise<boolean> => !(await commandOf(pid)).includes(dataFlag)
  for (const signal of ['SIGTERM', 'SIGKILL'] as const) {
    if (await gone()) return
    process.kill(pid, signal)
    if (await until(gone, STOP_MS)) return
  }
}

function launch(
  program: string,
  args: readonly string[],
  logFile: string,
): Promise<ChildProcess & { pid: number }> {
  // A file and not a pipe: when we die it writes on, and is found again by the next start.
  const fd = openSync(logFile, 'w', 0o600)
  const child = spawn(program, args, { stdio: ['ignore', fd, fd], detached: true })
  closeSync(fd)
  return new Promise((resolve, reject) => {
    child.once('spawn', () => resolve(child as ChildProcess & { pid: number }))
    child.once('error', (error) =>
      reject(
        new OverlayError(
          'host_state',
          `the program ${program} cannot be started (${messageOf(error)}): install it (Debian: apt-get install etcd-server) or set ETCD_ENDPOINTS to an etcd that runs`,
          { cause: error },
        ),
      ),
    )
  })
}

/**
 * The real etcd as a child of ours, for a host that was given none. One that a dead predecessor
 * left behind is taken over, so that killing this process costs no key.
 *
 * @throws OverlayError host_state when the program is missing or does not come up; the end of its
 *   log is in the message
 */
export async function startEmbeddedEtcd(options: EmbeddedEtcdOptions): Promise<EmbeddedEtcd> {
  const { dataDir, log, ip = '127.0.0.1', port = 2379, program = 'etcd' } = options
  const endpoint = `http://${ip}:${port}`
  const pidFile = join(dataDir, 'etcd.pid')
  const logFile = join(dataDir, 'etcd.log')
  const dataFlag = `--data-dir=${join(dataDir, 'data')}`
  await mkdir(dataDir, { recursive: true, mode: 0o700 })

  const running = (pid: number): EmbeddedEtcd => ({
    endpoints: [endpoint],
    stop: async () => {
      await end(pid, dataFlag)
      await rm(pidFile, { force: true })
    },
  })

  const leftover = Number(await readFile(pidFile, 'utf8').catch(() => '0'))
  const command = await commandOf(leftover)
  if (command.includes(dataFlag)) {
    const same = command.includes(`--listen-client-urls=${endpoint} `)
    if (same && (await until(() => answers(endpoint), LEFTOVER_MS))) {
      log.info(`the embedded etcd, process ${leftover}, is still running and is used again`)
      return running(leftover)
    }
    await end(leftover, dataFlag)
  }

  if (await answers(endpoint)) {
    throw new OverlayError(
      'host_state',
      `another etcd answers at ${endpoint}, where the embedded one was to listen: set ETCD_ENDPOINTS=${endpoint} to use that one`,
    )
  }
  const child = await launch(
    program,
    [
      '--name=overlay-ts',
      dataFlag,
      `--listen-client-urls=${endpoint}`,
      `--advertise-client-urls=${endpoint}`,
      '--listen-peer-urls=http://127.0.0.1:0',
      `--initial-advertise-peer-urls=${PEER_NAME}`,
      `--initial-cluster=overlay-ts=${PEER_NAME}`,
      '--auto-compaction-mode=periodic',
      '--auto-compaction-retention=1h',
      '--logger=zap',
      '--log-level=warn',
    ],
    logFile,
  )
  await writeFile(pidFile, String(child.pid))
  const ended = (): boolean => child.exitCode !== null || child.signalCode !== null
  const settled = await until(async () => ended() || (await answers(endpoint)), START_MS)
  if (settled && !ended()) {
    child.unref()
    child.once('exit', (code, signal) =>
      log.error(`the embedded etcd ended (${signal ?? `exit ${code}`}); see ${logFile}`),
    )
    log.info(`the embedded etcd, process ${child.pid}, answers at ${endpoint}`)
    return running(child.pid)
  }
  await end(child.pid, dataFlag)
  await rm(pidFile, { force: true })
  const said = (await readFile(logFile, 'utf8')).trim().split('\n').slice(-3).join('\n')
  throw new OverlayError('host_state', `etcd did not come up at ${endpoint}:\n${said}`)
}
