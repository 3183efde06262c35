import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Addresses } from '../../../src/control/addresses.ts'
import { Addresses6 } from '../../../src/control/addresses6.ts'
import { readHostIdentity, type HostIdentity } from '../../../src/control/host-identity.ts'
import { openJournal, type Journal, type Network } from '../../../src/control/journal.ts'
import { Publisher } from '../../../src/control/publisher.ts'
import { Subnets } from '../../../src/control/subnets.ts'
import type { SubnetWish } from '../../../src/control/subnet-wish.ts'
import { WipeGuard } from '../../../src/control/wipe-guard.ts'
import type { OverlayError } from '../../../src/errors.ts'
import { parseCidr } from '../../../src/net/cidr.ts'
import { parseIpv4 } from '../../../src/net/ipv4.ts'
import { ClusterMirror } from '../../../src/store/mirror.ts'
import type { Store } from '../../../src/store/store.ts'
import { ensureConfig } from '../../../src/store/write-config.ts'
import { keyspace } from '../store/view-support.ts'
import { network, recordingLog } from './control-support.ts'
import { factsOf } from './fake-facts.ts'

export interface ControlHostOptions {
  /** Last byte of its address, and its name. */
  readonly number: number
  /** The state directory of an earlier one; a new one otherwise. */
  readonly stateDir?: string
}

/** All of a host's control plane that speaks with the store, and nothing that touches its network. */
export class ControlHost implements AsyncDisposable {
  readonly stateDir: string
  readonly identity: HostIdentity
  readonly journal: Journal
  readonly mirror: ClusterMirror
  readonly publisher: Publisher
  readonly subnets: Subnets
  readonly addresses: Addresses
  readonly addresses6: Addresses6
  readonly said: string[]
  readonly cloned: OverlayError[] = []
  readonly #keepsState: boolean

  private constructor(
    store: Store,
    options: ControlHostOptions,
    state: { stateDir: string; identity: HostIdentity; journal: Journal },
  ) {
    this.stateDir = state.stateDir
    this.identity = state.identity
    this.journal = state.journal
    this.#keepsState = options.stateDir !== undefined
    const { log, said } = recordingLog()
    this.said = said
    this.mirror = new ClusterMirror({ store, keyspace, log })
    const facts = factsOf(parseIpv4(`172.18.10.${options.number}`))
    const guard = new WipeGuard(this.identity.hostId, () => undefined)
    const shared = {
      store,
      keys: keyspace,
      mirror: this.mirror,
      journal: this.journal,
      identity: this.identity,
      facts: () => facts,
      log,
    }
    this.publisher = new Publisher({
      ...shared,
      hostname: `host-${options.number}`,
      version: '0',
      onCloned: (error) => this.cloned.push(error),
    })
    this.subnets = new Subnets({
      ensureConfig: async () => {},
      ...shared,
      publisher: this.publisher,
      poolLength: 17,
      complete: (view) => guard.complete(view, performance.now()),
    })
    this.mirror.onChange(() => guard.follow(this.mirror.view(), performance.now()))
    this.addresses = new Addresses(this.journal, () => this.mirror.view())
    this.addresses6 = new Addresses6(this.journal, () => this.mirror.view())
  }

  static async start(store: Store, options: ControlHostOptions): Promise<ControlHost> {
    const stateDir = options.stateDir ?? (await mkdtemp(join(tmpdir(), 'ovt-control-')))
    const { log } = recordingLog()
    const identity = await readHostIdentity(stateDir, log)
    const journal = await openJournal(stateDir, log)
    const host = new ControlHost(store, options, { stateDir, identity, journal })
    host.mirror.start()
    await host.mirror.ready(30_000)
    return host
  }

  /** A network of the name, in a subnet leased for it. @returns the subnet */
  async createNetwork(
    id: string,
    wish: SubnetWish,
    changes: Partial<Network> = {},
  ): Promise<string> {
    const { subnet } = await this.subnets.lease(wish, null)
    await this.journal.networks.put(id, network(id, subnet, changes))
    await this.journal.subnets.update(subnet, (mine) => ({ ...mine, networkId: id }))
    return subnet
  }

  async removeNetwork(id: string): Promise<void> {
    const subnet = this.journal.networks.get(id)!.subnet
    await this.journal.networks.delete(id)
    await this.subnets.giveBack(subnet)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.mirror.stop()
    if (!this.#keepsState) await rm(this.stateDir, { recursive: true, force: true })
  }
}

/** The cluster's configuration, as the first host writes it. */
export async function writeConfig(store: Store): Promise<void> {
  await ensureConfig(store, keyspace, {
    network: parseCidr('10.32.0.0/12'),
    subnetLength: 24,
    vxlanPort: 8472,
  })
}

/** Every key of the cluster, without the prefix, in order. */
export async function keysOf(store: Store): Promise<string[]> {
  const { entries } = await store.range(keyspace.root)
  return [...entries.keys()].map((key) => key.slice(keyspace.root.length)).toSorted()
}

export const pooled = (overlay: string): SubnetWish => ({
  kind: 'pooled',
  overlay,
  vni: null,
  pool: null,
  poolLength: null,
  subnetLength: null,
  subnet: null,
})

export const routed = (overlay: string | null): SubnetWish => ({
  kind: 'routed',
  overlay,
  vni: null,
  subnetLength: null,
})

export const docker = (subnet: string, overlay: string | null = null): SubnetWish => ({
  kind: 'docker',
  subnet: parseCidr(subnet),
  overlay,
  vni: null,
})
