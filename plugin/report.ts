import type { Controller } from '../src/control/controller.ts'
import { COUNTER_GROUPS } from '../src/datapath/counters.ts'
import type { Datapath } from '../src/datapath/datapath.ts'
import { readIsolationCounters } from '../src/linux/isolation.ts'
import { readTunQueue, type TunQueueState } from '../src/linux/tun-queue.ts'
import { formatCidr } from '../src/net/cidr.ts'
import { formatCidr6 } from '../src/net/cidr6.ts'
import { formatIp } from '../src/net/ipv6.ts'
import type { MetricsSnapshot } from './metrics.ts'
import { VERSION } from './version.ts'

/** What the metrics need beside the controller. */
export interface ReportParts {
  readonly controller: Controller
  readonly dockerConnected: () => boolean
}

/** Everything countable at this moment. */
export async function metricsOf({
  controller,
  dockerConnected,
}: ReportParts): Promise<MetricsSnapshot> {
  const { journal, mirror, reconciler } = controller
  const { datapath } = reconciler
  const queue = await readTunQueue()
  const all = Object.entries(datapath?.counters() ?? {})
  const isDrop = ([name]: [string, number]): boolean => /_drop_/.test(name)
  const isolationDrops = Object.entries((await readIsolationCounters()) ?? {}).map(
    ([rule, { packets }]): [string, number] => [rule, packets],
  )
  return {
    counters: Object.fromEntries(all.filter((counter) => !isDrop(counter))),
    drops: Object.fromEntries(
      all.filter(isDrop).map(([name, value]) => [name.replace('_drop_', '_'), value]),
    ),
    isolationDrops: Object.fromEntries(isolationDrops),
    tunQueueDrops: queue?.dropped ?? null,
    datapath: datapath === null ? null : { ...datapath.capabilities(), ...queueLabels(queue) },
    storeConnected: mirror.status().state === 'up',
    storeProblems: controller.problems.length,
    firewallProblems: controller.firewall.problems.length,
    dockerConnected: dockerConnected(),
    networks: journal.networks.values().length,
    endpoints: journal.endpoints.values().length,
  }
}

/** What an operator asks first, as JSON: who this host is, the map, its networks, its counters. */
export async function stateOf({ controller, dockerConnected }: ReportParts): Promise<object> {
  const { identity, journal, mirror, reconciler } = controller
  const { iface, ip, publicIp, overlayMtu } = controller.facts()
  const view = controller.view()
  return {
    version: VERSION,
    host: {
      hostId: identity.hostId,
      iface,
      ip: formatIp(ip),
      publicIp: formatIp(publicIp),
      vtepMac: identity.vtepMac,
      overlayMtu,
      vxlanPort: controller.port,
    },
    store: mirror.status(),
    docker: { connected: dockerConnected() },
    failure: reconciler.failure,
    subnets: [...view.subnets.values()].map((lease) => ({
      subnet: formatCidr(lease.subnet),
      subnet6: lease.ipv6 && formatCidr6(lease.ipv6.subnet),
      host: formatIp(lease.publicIp),
      hostname: view.hosts.get(lease.hostId ?? '')?.hostname ?? null,
      overlay: lease.overlay,
      vni: lease.vni,
      kind: lease.kind,
      isOurs: lease.hostId === identity.hostId,
    })),
    problems: view.problems,
    firewall: controller.firewall.problems,
    networks: journal.networks.values(),
    endpoints: journal.endpoints.values(),
    datapath: reconciler.datapath === null ? null : await datapathOf(reconciler.datapath),
    tunQueue: await readTunQueue(),
    counters: reconciler.datapath?.counters() ?? null,
    counterMeanings: COUNTER_GROUPS,
    isolation: await readIsolationCounters(),
  }
}

async function datapathOf(datapath: Datapath): Promise<object> {
  return { ...datapath.capabilities(), shares: await datapath.workers() }
}

const queueLabels = (queue: TunQueueState | null): Readonly<Record<string, string | number>> =>
  queue === null ? {} : { qdisc: queue.qdisc, queueLength: queue.length }
