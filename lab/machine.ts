import { spawn } from 'node:child_process'
import {
  existsSync,
  mkdirSync,
  openSync,
  closeSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { OverlayError } from '../src/errors.ts'
import { waitFor } from '../test/support/wait.ts'
import { argv } from './argv.ts'
import { command, LAB_ENV, type CommandOptions } from './command.ts'
import { GATEWAY } from './address.ts'
import { childrenOf } from './proc.ts'
import { machineDir, netnsName } from './record.ts'
import type { Switch } from './switch.ts'

/** The kernel kills what follows when this process ends (prctl(2), PR_SET_PDEATHSIG). */
const DIES_WITH_US = ['setpriv', '--pdeathsig', 'KILL']

const INIT = join(import.meta.dirname, 'machine-init.sh')

export interface MachineSpec {
  readonly lab: string
  /** Names the folder and the namespace: "96". */
  readonly name: string
  /** What `hostname` says there: "host-96". */
  readonly hostname: string
  readonly ip: string
  /** Dies with the process that boots it, however that ends. */
  readonly ephemeral: boolean
}

/**
 * A computer of the lab: a network namespace on the switch, and in it a process 1 with its own mounts (/run, /sys, control
 * groups), process numbers and host name. Whatever runs on the machine is a descendant of process 1, so that the machine
 * goes, with containers and mounts, when that one process is killed.
 */
export class Machine {
  readonly name: string
  readonly ip: string
  readonly netns: string
  /** Its folder on the real file system; `run` in it is the machine's /run. */
  readonly dir: string
  readonly #spec: MachineSpec

  constructor(spec: MachineSpec) {
    this.name = spec.name
    this.ip = spec.ip
    this.netns = netnsName(spec.lab, spec.name)
    this.dir = machineDir(spec.lab, spec.name)
    this.#spec = spec
  }

  async boot(network: Switch): Promise<void> {
    this.#writeFiles()
    await command(['ip', 'netns', 'add', this.netns])
    await network.connect(this.name, this.netns, this.ip)
    const log = openSync(this.path('init.log'), 'a')
    const [program, ...args] = argv`${this.#spec.ephemeral ? DIES_WITH_US : []}
      ip netns exec ${this.netns} unshare --mount --propagation private --pid --fork --kill-child
      --mount-proc --uts sh ${INIT} ${this.dir} ${this.#spec.hostname}`
    const child = spawn(program!, args, {
      env: LAB_ENV,
      detached: true,
      stdio: ['ignore', log, log],
    })
    closeSync(log)
    child.unref()
    child.on('error', () => {})
    await waitFor(
      () => {
        if (child.exitCode !== null || child.signalCode !== null) return 'ended'
        return existsSync(this.path('ready'))
      },
      { what: `machine ${this.name} to boot`, every: 5 },
    )
    const init = child.pid === undefined ? undefined : childrenOf(child.pid)[0]
    if (init === undefined || !existsSync(this.path('ready'))) {
      const said = readFileSync(this.path('init.log'), 'utf8').trim()
      throw new OverlayError('host_state', `machine ${this.name} did not boot: ${said}`)
    }
    writeFileSync(this.path('init.pid'), String(init))
  }

  /** A path in the machine's folder. */
  path(...parts: string[]): string {
    return join(this.dir, ...parts)
  }

  /** The number of the machine's process 1 on the real machine. @throws OverlayError not_found */
  get init(): number {
    try {
      return Number(readFileSync(this.path('init.pid'), 'utf8'))
    } catch (cause) {
      throw new OverlayError('not_found', `machine ${this.name} is not running`, { cause })
    }
  }

  /** The words that bring a program into the machine. */
  enter(): string[] {
    return argv`nsenter --target ${this.init} --mount --net --pid --uts --`
  }

  /** Runs a program in the machine to its end and gives what it printed. */
  async exec(words: readonly string[], options?: CommandOptions): Promise<string> {
    return command([...this.enter(), ...words], options)
  }

  #writeFiles(): void {
    mkdirSync(this.path('run', 'docker', 'plugins'), { recursive: true })
    mkdirSync(this.path('run', 'lock'), { recursive: true })
    rmSync(this.path('ready'), { force: true })
    writeFileSync(this.path('resolv.conf'), `nameserver ${GATEWAY}\n`)
    writeFileSync(this.path('hosts'), `127.0.0.1 localhost\n${this.ip} ${this.#spec.hostname}\n`)
  }
}
