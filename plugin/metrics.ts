import { Counter, Gauge, Registry } from 'prom-client'
import { VERSION } from './version.ts'

/** What the program tells about itself at one moment; names are snake_case and in Prometheus' letters. */
export interface MetricsSnapshot {
  /** Totals of the forwarder by name: `packets_sent` becomes overlay_ts_packets_sent_total. */
  readonly counters: Readonly<Record<string, number>>
  /** Packets the forwarder dropped, by reason. */
  readonly drops: Readonly<Record<string, number>>
  /** Packets the host's isolation rules dropped, by rule. */
  readonly isolationDrops: Readonly<Record<string, number>>
  /** Packets lost before the forwarder read them, because containers sent faster than it; null if unknown. */
  readonly tunQueueDrops: number | null
  /** What the kernel can do and is used for, null while nothing is forwarded. */
  readonly datapath: Readonly<Record<string, string | number | boolean>> | null
  readonly storeConnected: boolean
  /** Keys in the store that were wrong and left out. */
  readonly storeProblems: number
  /** Chains of the host's firewall that drop what containers of overlays send. */
  readonly firewallProblems: number
  readonly dockerConnected: boolean
  /** Docker networks of this host. */
  readonly networks: number
  /** Containers' attachments on this host. */
  readonly endpoints: number
}

/** The snapshot in Prometheus' text format. */
export function metricsText(snapshot: MetricsSnapshot): Promise<string> {
  const registers = [new Registry()] as const
  const total = (name: string, help: string, value: number): void => {
    new Counter({ name: `overlay_ts_${name}_total`, help, registers: [...registers] }).inc(value)
  }
  const gauge = (name: string, help: string, value: number): void => {
    new Gauge({ name, help, registers: [...registers] }).set(value)
  }
  const totalBy = (
    name: string,
    help: string,
    label: string,
    values: Readonly<Record<string, number>>,
  ): void => {
    const counter = new Counter({
      name: `overlay_ts_${name}_total`,
      help,
      labelNames: [label],
      registers: [...registers],
    })
    for (const [value, count] of Object.entries(values)) counter.inc({ [label]: value }, count)
  }

  for (const [name, value] of Object.entries(snapshot.counters)) {
    total(name, `Forwarder: ${name.replaceAll('_', ' ')}`, value)
  }
  totalBy('drops', 'Packets the forwarder dropped', 'reason', snapshot.drops)
  if (snapshot.tunQueueDrops !== null) {
    total(
      'tun_queue_drops',
      'Packets lost because the queue of the TUN was full: containers sent faster than was read',
      snapshot.tunQueueDrops,
    )
  }
  if (snapshot.datapath !== null) {
    const labels = Object.entries(snapshot.datapath).map(([name, value]): [string, string] => [
      name.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`),
      String(value),
    ])
    new Gauge({
      name: 'overlay_ts_datapath_info',
      help: 'What the kernel can do and the forwarder makes use of, as labels',
      labelNames: labels.map(([name]) => name),
      registers: [...registers],
    }).set(Object.fromEntries(labels), 1)
  }
  totalBy(
    'isolation_drops',
    "Packets the host's isolation rules dropped",
    'rule',
    snapshot.isolationDrops,
  )
  gauge('overlay_ts_store_connected', 'Whether etcd answers', Number(snapshot.storeConnected))
  gauge('overlay_ts_store_problems', 'Keys in etcd that are wrong', snapshot.storeProblems)
  gauge(
    'overlay_ts_firewall_problems',
    "Chains of the host's firewall that drop what containers of overlays send",
    snapshot.firewallProblems,
  )
  gauge(
    'overlay_ts_docker_connected',
    "Whether Docker's events arrive",
    Number(snapshot.dockerConnected),
  )
  gauge('overlay_ts_networks', 'Docker networks of this host', snapshot.networks)
  gauge('overlay_ts_endpoints', "Containers' attachments on this host", snapshot.endpoints)
  gauge('process_resident_memory_bytes', 'Resident memory in bytes', process.memoryUsage.rss())
  new Gauge({
    name: 'overlay_ts_build_info',
    help: 'The version, as a label',
    labelNames: ['version'],
    registers: [...registers],
  }).set({ version: VERSION }, 1)
  return registers[0].metrics()
}
