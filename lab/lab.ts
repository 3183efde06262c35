import { rmSync } from 'node:fs'
import { getuid } from 'node:process'
import { messageOf, OverlayError } from '../src/errors.ts'
import { ETCD_IP, hostIp } from './address.ts'
import { DockerHost } from './docker-host.ts'
import { EtcdHost } from './etcd-host.ts'
import { imageArchive } from './image.ts'
import { Machine } from './machine.ts'
import { claimName, readRecord, thisProcess, writeRecord, type LabRecord } from './record.ts'
import { powerOff, removeAbandonedLabs, removeLab } from './remove.ts'
import { Switch } from './switch.ts'

export interface LabOptions {
  /** Unique among the labs that stand; one is made up unless told. */
  readonly name?: string
  /** Docker hosts by the last byte of their address: ['96', '98']. */
  readonly hosts: readonly string[]
  /** A machine with etcd at 172.18.10.95; true unless told. */
  readonly etcd?: boolean
  /** When to start overlay-ts on each host; 'none' unless told. */
  readonly plugin?: 'none' | 'before docker' | 'after docker'
  /** Further words for every dockerd's command line. */
  readonly dockerd?: readonly string[]
  /** Of the underlay, in bytes; 1500 unless told. */
  readonly mtu?: number
  /** Outlives this process until `removeLab`; false unless told. */
  readonly standing?: boolean
  /** Is told each step as it is done. */
  readonly onStep?: (step: string) => void
}

let made = 0

/** Several computers on one switch, each with its own network, processes and dockerd; none of it touches the real machine's network. */
export class Lab implements AsyncDisposable {
  readonly name: string
  readonly switch: Switch
  readonly #record: LabRecord
  readonly #hosts = new Map<string, DockerHost>()
  #etcd: EtcdHost | undefined

  private constructor(record: LabRecord) {
    this.name = record.name
    this.#record = record
    this.switch = new Switch(record.name, record.mtu)
    for (const { name, kind } of record.machines) this.#adopt(name, kind)
  }

  /** Builds a lab, all machines at once. A failure leaves nothing behind. @throws OverlayError */
  static async create(options: LabOptions): Promise<Lab> {
    if (getuid?.() !== 0) {
      throw new OverlayError(
        'host_state',
        'the lab makes network namespaces and runs Docker daemons: run it as root',
      )
    }
    await removeAbandonedLabs()
    const { hosts, etcd = true, mtu = 1500, standing = false, onStep = () => {} } = options
    hosts.forEach(hostIp)
    const lab = new Lab({
      name: options.name ?? `ovt-${process.pid}-${++made}`,
      owner: standing ? null : thisProcess(),
      mtu,
      machines: [],
    })
    claimName(lab.#record)
    try {
      const archive = imageArchive()
      await lab.switch.create()
      onStep('switch with the gateway 172.18.10.1')
      const first = etcd ? lab.#startEtcd(onStep) : Promise.resolve()
      const results = await Promise.allSettled([
        archive,
        ...hosts.map(async (name) => {
          const host = await lab.#bootHost(name)
          await first
          if (options.plugin === 'before docker') await host.startPlugin()
          await host.startDocker(options.dockerd)
          await host.importImage(await archive)
          if (options.plugin === 'after docker') await host.startPlugin()
          onStep(`host ${name}, ${host.ip}, with its own dockerd`)
        }),
        first,
      ])
      const failures = results.flatMap((r) =>
        r.status === 'rejected' ? [r.reason as unknown] : [],
      )
      if (failures.length > 0) {
        const causes = [...new Set(failures)]
        throw new OverlayError('host_state', causes.map(messageOf).join('\n'), { cause: causes[0] })
      }
      return lab
    } catch (error) {
      await removeLab(lab.name)
      throw error
    }
  }

  /** A lab that another process made. @throws OverlayError not_found */
  static open(name: string): Lab {
    return new Lab(readRecord(name))
  }

  get hosts(): DockerHost[] {
    return [...this.#hosts.values()]
  }

  /** @throws OverlayError not_found */
  host(name: string): DockerHost {
    const host = this.#hosts.get(name)
    if (host !== undefined) return host
    throw new OverlayError(
      'not_found',
      `lab ${this.name} has no host "${name}"; it has ${[...this.#hosts.keys()].join(', ')}`,
    )
  }

  /** @throws OverlayError not_found in a lab without etcd */
  get etcd(): EtcdHost {
    if (this.#etcd !== undefined) return this.#etcd
    throw new OverlayError('not_found', `lab ${this.name} was made without etcd`)
  }

  /** Adds a Docker host to the running lab; its plugin is the caller's to start, before or after `startDocker`. */
  async addHost(name: string, { docker = true } = {}): Promise<DockerHost> {
    const host = await this.#bootHost(name)
    if (docker) {
      await host.startDocker()
      await host.importImage(await imageArchive())
    }
    return host
  }

  /**
   * Cuts a host's power and boots it again: everything in memory is gone, also its /run, and what is
   * on disk is as it was. Its dockerd and its plugin are the caller's to start.
   */
  async reboot(name: string): Promise<DockerHost> {
    const host = this.host(name)
    // The kernel takes the cable away with the network, but only some time after.
    await this.switch.disconnect(name)
    await powerOff(this.name, name)
    rmSync(host.machine.path('run'), { recursive: true, force: true })
    await host.machine.boot(this.switch)
    return host
  }

  /** All of etcd under a prefix, sorted, as comparable text. */
  async etcdText(prefix?: string): Promise<string> {
    return this.etcd.text(prefix)
  }

  async remove(): Promise<void> {
    await removeLab(this.name)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.remove()
  }

  async #startEtcd(onStep: (step: string) => void): Promise<void> {
    await this.#addMachine('etcd', 'etcd').boot(this.switch)
    await this.etcd.start()
    onStep(`etcd at ${ETCD_IP}`)
  }

  async #bootHost(name: string): Promise<DockerHost> {
    if (this.#hosts.has(name)) {
      throw new OverlayError('conflict', `lab ${this.name} has a host ${name} already`)
    }
    await this.#addMachine(name, 'docker').boot(this.switch)
    return this.host(name)
  }

  /** Recorded before it is made, so that whoever removes the lab knows of it. */
  #addMachine(name: string, kind: 'docker' | 'etcd'): Machine {
    const machine = this.#adopt(name, kind)
    this.#record.machines.push({ name, kind })
    writeRecord(this.#record)
    return machine
  }

  #adopt(name: string, kind: 'docker' | 'etcd'): Machine {
    const machine = new Machine({
      lab: this.name,
      name,
      hostname: kind === 'docker' ? `host-${name}` : name,
      ip: kind === 'docker' ? hostIp(name) : ETCD_IP,
      ephemeral: this.#record.owner !== null,
    })
    if (kind === 'etcd') this.#etcd = new EtcdHost(machine)
    else this.#hosts.set(name, new DockerHost(this.name, machine))
    return machine
  }
}
