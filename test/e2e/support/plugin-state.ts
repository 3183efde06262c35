import type { DockerHost } from '../../../lab/docker-host.ts'
import type { CounterName } from '../../../src/datapath/counters.ts'
import { waitFor } from '../../support/wait.ts'

export type CounterValues = Readonly<Record<CounterName, number>>

/** What a host's admin listener tells under /v1/state, as far as tests ask. */
export interface PluginState {
  readonly host: { readonly hostId: string; readonly vtepMac: string; readonly overlayMtu: number }
  readonly subnets: readonly {
    readonly subnet: string
    readonly host: string
    readonly overlay: string | null
    readonly vni: number
    readonly isOurs: boolean
  }[]
  /** What of etcd is ignored. */
  readonly problems: readonly { readonly key: string; readonly reason: string }[]
  readonly counters: CounterValues | null
  readonly store: { readonly state: string }
  /** What keeps the machine from being as it should. */
  readonly failure: string | null
}

export async function pluginState(host: DockerHost): Promise<PluginState> {
  return JSON.parse(await host.admin('/v1/state')) as PluginState
}

/** @throws when no forwarder runs */
export async function countersOf(host: DockerHost): Promise<CounterValues> {
  const { counters } = await pluginState(host)
  if (counters === null) throw new Error(`no forwarder runs on host ${host.name}`)
  return counters
}

/** The counters once nothing moves any more: a packet on its way is counted in one place and not yet in the other. */
export function restingCounters(host: DockerHost): Promise<CounterValues> {
  return waitFor(
    async () => {
      const [first, second] = [await countersOf(host), await countersOf(host)]
      return Object.keys(difference(first, second)).length === 0 ? second : null
    },
    { what: `the counters of host ${host.name} to rest`, timeout: 60_000 },
  )
}

/** The counters that changed, by how much. */
export function difference(
  before: CounterValues,
  after: CounterValues,
): Partial<Record<CounterName, number>> {
  const names = Object.keys(after) as CounterName[]
  return Object.fromEntries(
    names.map((name) => [name, after[name] - before[name]] as const).filter(([, by]) => by !== 0),
  )
}
