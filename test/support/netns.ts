import { execFile, execFileSync, spawn, spawnSync, type ChildProcess } from 'node:child_process'
import { existsSync, readdirSync } from 'node:fs'
import { promisify } from 'node:util'

const exec = promisify(execFile)
const NAMESPACES = '/run/netns'
const MARK = 'OVT_OWN_NETNS'
let made = 0

/**
 * Gives this test program a network namespace of its own, by starting it again inside a nameless one
 * that goes when the program ends. First statement of a test file that touches the network stack.
 * Commands run from here on, and /proc/sys/net, are the namespace's.
 */
export function enterOwnNetns(): void {
  if (process.env[MARK] !== String(process.pid)) {
    // execve keeps the process id, so a child that inherits the variable is not fooled by it.
    const env = { ...process.env, [MARK]: String(process.pid) }
    const args = ['--net', process.execPath, ...process.execArgv, ...process.argv.slice(1)]
    process.execve?.('/usr/bin/unshare', ['unshare', ...args], env)
  }
  execFileSync('ip', ['link', 'set', 'lo', 'up'])
}

/** A named network namespace; `await using` removes it. */
export class Netns implements AsyncDisposable {
  readonly name: string

  private constructor(name: string) {
    this.name = name
  }

  /** @param label a word for people; the name is unique to this process */
  static async create(label: string): Promise<Netns> {
    const netns = new Netns(`ovt-${process.pid}-${++made}-${label}`)
    await exec('ip', ['netns', 'add', netns.name])
    await netns.run('ip', 'link', 'set', 'lo', 'up')
    return netns
  }

  /** What `nsenter --net=` takes. */
  get path(): string {
    return `${NAMESPACES}/${this.name}`
  }

  /** Runs a program to its end and returns what it printed; rejects when it fails. */
  async run(...command: readonly string[]): Promise<string> {
    const { stdout } = await exec('ip', ['netns', 'exec', this.name, ...command])
    return stdout
  }

  /** Whether the program ends with code 0. */
  async succeeds(...command: readonly string[]): Promise<boolean> {
    return this.run(...command).then(
      () => true,
      () => false,
    )
  }

  /** Starts a program that stays; the caller ends it. nsenter replaces itself, so a signal reaches it. */
  spawn(...command: readonly string[]): ChildProcess {
    return spawn('nsenter', [`--net=${this.path}`, ...command], {
      stdio: ['ignore', 'pipe', 'pipe'],
    })
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await exec('ip', ['netns', 'del', this.name])
  }
}

/** Runs a shell line in this program's namespace and returns what it printed. */
export async function sh(line: string): Promise<string> {
  const { stdout } = await exec('sh', ['-ec', line], { env: { ...process.env, LC_ALL: 'C' } })
  return stdout
}

/** Deletes the namespaces of Netns whose test program is no more. */
export function deleteOrphanedNamespaces(): void {
  if (!existsSync(NAMESPACES)) return
  for (const name of readdirSync(NAMESPACES)) {
    const pid = /^ovt-(\d+)-\d+-/.exec(name)?.[1]
    if (pid === undefined || existsSync(`/proc/${pid}`)) continue
    spawnSync('ip', ['netns', 'del', name], { stdio: 'inherit' })
  }
}
